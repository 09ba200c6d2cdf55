"""One gateway process: a server on an event loop of its own, started and watched by the node's supervisor.

`python -m deployments.gateway.process CONTROL LISTENER...`: numbers of inherited file descriptors.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import secrets
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

import uvloop

from cluster.fleet import Fleet
from cluster.fleet_secrets import SecretsError
from cluster.keys import KeyFileError
from deployments.autoscaling.control import Door
from deployments.engine.access.tls import TlsError
from deployments.engine.backend import EngineLoad
from deployments.gateway.access_log import LineWriter, end_access_log, write_access_log
from deployments.gateway.metrics.merged import families_of
from deployments.gateway.peer_sync import PeerSync
from deployments.gateway.replicas.learned_speeds import adopt_speeds, learned_speeds
from deployments.gateway.server import GatewayServer
from deployments.gateway.supervision.control_channel import Channel
from deployments.gateway.supervision.control_messages import (
    AskMetrics,
    Configure,
    Drain,
    Failed,
    HandOver,
    Learned,
    MergedMetrics,
    Metrics,
    Replicas,
    Started,
    Status,
)
from deployments.replica_info import ReplicaInfo

STATUS_PERIOD_S = 0.5
LEARNED_EVERY = 4
"""Reports after which it also tells what it has learned."""
METRICS_TIMEOUT_S = 5.0

logger = logging.getLogger("mixfleet.gateway")


class GatewayProcess:
    """The process's side of the control channel."""

    def __init__(self, channel: Channel, configuration: Configure) -> None:
        """Raises KeyFileError or SecretsError where the fleet names a file that cannot be used."""
        self._channel = channel
        self._name = secrets.token_hex(8)
        self._alone_s = configuration.alone_s
        self._server = GatewayServer(Fleet.model_validate(configuration.fleet), configuration.own_engines)
        self._peer_sync: PeerSync | None = None
        if configuration.has_peers:
            state = self._server.state
            self._peer_sync = PeerSync(state.directory, state.tenants.limited, configuration.host, state.secrets)
        self._access_log: LineWriter | None = None
        if self._server.fleet.gateway.access_log != "off":
            self._access_log = write_access_log(sys.stderr.fileno())
            self._server.state.metrics.registry.register(self._access_log)
        self._replicas: list[dict[str, Any]] = []
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[bytes]] = {}

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Accepts connections. Raises TlsError where the fleet's certificates cannot be used."""
        await self._server.start(sockets)
        if self._peer_sync:
            await self._peer_sync.start()

    async def run(self) -> None:
        """Serves until the supervisor asks for the end, or is gone."""
        self._server.state.all_metrics = self._all_metrics
        self._channel.send(Started())
        following = asyncio.create_task(self._follow())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, following.cancel)
        tasks = [asyncio.create_task(self._report()), asyncio.create_task(self._server.state.preparer.start())]
        try:
            (replaced,) = await asyncio.gather(following, return_exceptions=True)
            await (self._server.hand_over() if replaced else self._server.drain())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._peer_sync:
                await self._peer_sync.stop()
            await self._server.stop()
            if self._access_log:
                end_access_log(self._access_log)

    async def _follow(self) -> bool:
        """Does what the supervisor says, until the end. Whether others take the new connections then."""
        while True:
            message = await self._channel.receive()
            match message:
                case Replicas():
                    self._take(message)
                case AskMetrics():
                    metrics = self._server.state.metrics
                    self._channel.send(Metrics(message.number, families_of(metrics.registry), metrics.of_replicas()))
                case MergedMetrics():
                    if (waiting := self._asked.get(message.number)) and not waiting.done():
                        waiting.set_result(message.text)
                case Learned(speeds):
                    adopt_speeds(self._server.state.directory, speeds)
                case HandOver():
                    return True
                case None:
                    # Another supervisor's processes accept from the same sockets soon, or nobody should.
                    await asyncio.sleep(self._alone_s)
                    return True
                case Drain():
                    return False
                case _:
                    logger.warning("unexpected message %s from the supervisor", type(message).__name__)

    def _take(self, message: Replicas) -> None:
        if message.replicas != self._replicas:
            self._replicas = message.replicas
            self._server.update([ReplicaInfo.from_dict(replica) for replica in message.replicas])
        directory = self._server.state.directory
        directory.report({incarnation: EngineLoad(**load) for incarnation, load in message.loads.items()})
        if self._peer_sync:
            self._peer_sync.connect(message.peers)

    async def _report(self) -> None:
        """By the event loop that serves: its silence tells that the loop stands."""
        for number in itertools.count(1):
            state = self._server.state
            doors = [
                Door(
                    source=self._name,
                    model=one.model.name,
                    waiting=one.admission.waiting,
                    booked_s=dict(one.router.booked_s),
                )
                for one in state.directory.models
            ]
            endpoint = self._peer_sync.endpoint if self._peer_sync else ""
            self._channel.send(Status(state.unready(), doors, endpoint))
            if number % LEARNED_EVERY == 0:
                self._channel.send(Learned(learned_speeds(state.directory)))
            await asyncio.sleep(STATUS_PERIOD_S)

    async def _all_metrics(self) -> bytes:
        number = next(self._numbers)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self._channel.send(AskMetrics(number))
            async with asyncio.timeout(METRICS_TIMEOUT_S):
                return await answer
        except TimeoutError:
            logger.warning("the supervisor does not answer: metrics are of this process alone")
            return self._server.state.metrics.render()
        finally:
            del self._asked[number]


async def main(control: int, listeners: Sequence[int]) -> int:
    """The process's exit status."""
    channel = await Channel.over(socket.socket(fileno=control))
    waiting = asyncio.create_task(_report_waiting(channel))
    configuration = await channel.receive()
    waiting.cancel()
    if not isinstance(configuration, Configure):
        return 1
    try:
        process = GatewayProcess(channel, configuration)
        await process.start([socket.socket(fileno=number) for number in listeners])
    except (KeyFileError, SecretsError, TlsError) as error:
        channel.send(Failed(str(error)))
        await asyncio.sleep(STATUS_PERIOD_S)  # for the message to leave
        return 1
    await process.run()
    return 0


async def _report_waiting(channel: Channel) -> None:
    """A process that waits in reserve must not turn out to be frozen when it is needed."""
    while True:
        channel.send(Status([], []))
        await asyncio.sleep(STATUS_PERIOD_S)


def parent_decides() -> None:
    """Leaves Ctrl-C and a closed terminal, which reach the whole process group, to the supervisor."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    parent_decides()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(uvloop.run(main(int(sys.argv[1]), [int(number) for number in sys.argv[2:]])))
