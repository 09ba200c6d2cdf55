"""The supervisor as a process of its own, which outlives the Serve actor that started it.

`python -m deployments.gateway.supervision.supervisor_process` reads a `Startup` as JSON from its standard input. It
listens, goes into a session of its own, prints `listening on http://HOST:PORT`, or a line that says why it cannot,
and leaves its starter. Ray ends an actor's children with the actor, and all of its process group: this is neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from cluster.addresses import http_address
from deployments.gateway.process import parent_decides
from deployments.gateway.supervision.attachment import listen
from deployments.gateway.supervision.control_channel import Channel
from deployments.gateway.supervision.control_messages import AskReplicas, Attach, End, FollowRegistry, NodeStatus
from deployments.gateway.supervision.listening_socket import listening_sockets
from deployments.gateway.supervision.registry_link import RegistryLink
from deployments.gateway.supervision.secret_rotation import follow_secrets
from deployments.gateway.supervision.supervisor import Supervisor
from deployments.log_files import append_to

ALONE_S = 15.0
"""After the death of a supervisor whose successor gets the same sockets."""

ORPHANED_S = 30.0
"""Serve replaces an actor within some seconds, or never."""

STATUS_PERIOD_S = 0.5
DETACH_S = 2.0

logger = logging.getLogger("mixfleet.gateway")


class Startup(msgspec.Struct):
    """Attributes:
    name: of the socket on which actors attach.
    fleet: valid content of a fleet file.
    host: this node's address for other gateways.
    log: where the supervisor and its processes write.
    orphaned_s: without an actor for so long, the supervisor ends.
    listeners: numbers of the inherited sockets that it accepts from; none: it listens itself.
    """

    name: str
    fleet: dict[str, Any]
    host: str
    log: str
    orphaned_s: float = ORPHANED_S
    listeners: list[int] = []


class AttachedSupervisor:
    """A supervisor that does what the actors attached to it say."""

    def __init__(self, supervisor: Supervisor, orphaned_s: float) -> None:
        self._supervisor, self._orphaned_s = supervisor, orphaned_s
        self._connected: set[Channel] = set()
        self._attached: set[Channel] = set()
        """Of these, those whose fleet is served, or could not be."""
        self._alone_since = time.monotonic()
        self._ending = asyncio.Event()
        self._replacing = asyncio.Lock()
        self._failure = ""
        self._link = RegistryLink(supervisor)

    async def run(self, name: str) -> None:
        """Until an actor asks for the end, or none is attached any more."""
        server = await listen(name, self._follow)
        keeping = asyncio.create_task(self._supervisor.keep())
        linked = asyncio.create_task(self._link.run())
        rotating = asyncio.create_task(follow_secrets(self._supervisor, self._replacing))
        try:
            while not self._ending.is_set() and not self._orphaned and not keeping.done():
                self._tell()
                await asyncio.sleep(STATUS_PERIOD_S)
        finally:
            server.close()
            for task in (rotating, keeping, linked):
                task.cancel()
            await asyncio.gather(rotating, keeping, linked, return_exceptions=True)
        await self._supervisor.drain()
        await self._detach()

    async def _detach(self) -> None:
        """Lets go of the actors that are still attached."""
        for channel in self._connected:
            channel.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DETACH_S):
                while self._connected:  # noqa: ASYNC110  # tasks of the server's
                    await asyncio.sleep(0.01)

    @property
    def _orphaned(self) -> bool:
        return not self._connected and time.monotonic() - self._alone_since > self._orphaned_s

    async def _follow(self, channel: Channel) -> None:
        self._connected.add(channel)
        try:
            while (message := await channel.receive()) is not None:
                match message:
                    case Attach():
                        await self._serve(message)
                        self._attached.add(channel)
                    case FollowRegistry(address):
                        await self._link.follow(address)
                    case AskReplicas():
                        channel.send(self._link.replicas())
                    case End():
                        self._ending.set()
                    case _:
                        logger.warning("unexpected message %s from an actor", type(message).__name__)
        finally:
            self._connected.discard(channel)
            self._attached.discard(channel)
            self._alone_since = time.monotonic()

    async def _serve(self, message: Attach) -> None:
        """Serves the fleet of the actor that came last."""
        async with self._replacing:
            self._failure = ""
            if message.fleet == self._supervisor.fleet:
                return
            try:
                await self._supervisor.replace(message.fleet, message.host)
            except OSError as error:
                self._failure = cannot_listen(message.fleet, error)
            except RuntimeError as error:
                self._failure = str(error)

    def _tell(self) -> None:
        supervisor = self._supervisor
        message = NodeStatus(
            port=supervisor.port,
            serving=supervisor.serving and not self._replacing.locked(),
            failure=self._failure or supervisor.failure,
        )
        for channel in self._attached:
            channel.send(message)


def cannot_listen(fleet: Mapping[str, Any], error: OSError) -> str:
    """What to do about an address that is taken."""
    return (
        f"the gateway cannot listen on {fleet['gateway']['host']}:{fleet['gateway']['port']}: "
        f"{error.strerror or error}; end what listens there, or set `gateway.port` in the fleet file"
    )


def main() -> int:
    """The starter's exit status: the supervisor itself goes on in a process of its own."""
    startup = msgspec.json.decode(sys.stdin.buffer.read(), type=Startup)
    host, port = startup.fleet["gateway"]["host"], startup.fleet["gateway"]["port"]
    try:
        inherited = [socket.socket(fileno=number) for number in startup.listeners]
        sockets = inherited or listening_sockets(host, port)
    except OSError as error:
        print(cannot_listen(startup.fleet, error))
        return 1
    print(f"listening on {http_address(host, sockets[0].getsockname()[1])}", flush=True)
    if os.fork():
        return 0
    os.setsid()
    _write_to(startup.log)
    parent_decides()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    supervisor = Supervisor(sockets, startup.fleet, startup.host, alone_s=ALONE_S if startup.listeners else 0.0)
    asyncio.run(AttachedSupervisor(supervisor, startup.orphaned_s).run(startup.name))
    return 0


def _write_to(log: str) -> None:
    """Lets go of the starter's standard streams."""
    with open(os.devnull, "rb") as nothing, append_to(Path(log)) as file:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


if __name__ == "__main__":
    sys.exit(main())
