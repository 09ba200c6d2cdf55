"""The gateway as Serve runs it: an actor that attaches to its node's supervisor, and tells it where the registry is.

No request passes through it. Where it dies, the supervisor and its processes go on until its successor attaches. Where
the supervisor dies, whose processes then take no further connections, it starts another. It keeps the listening sockets
of the one that it started, so that connections wait for the next one meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import time
from typing import Any

import msgspec
import ray
from ray import serve
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus

from cluster.addresses import http_address, listening_host, reachable_host
from cluster.fleet import Fleet
from cluster.names import APPLICATION
from deployments.engine.listening import engine_host
from deployments.engine.process import PROJECT_ROOT
from deployments.gateway.supervision.attachment import attach, socket_name
from deployments.gateway.supervision.control_channel import Channel
from deployments.gateway.supervision.control_messages import (
    AskReplicas,
    Attach,
    End,
    FollowRegistry,
    NodeStatus,
    Replicas,
)
from deployments.gateway.supervision.listening_socket import listening_sockets
from deployments.gateway.supervision.supervisor_process import Startup, cannot_listen
from deployments.local_ray import logs_folder
from deployments.registry import endpoint

SUPERVISOR = "deployments.gateway.supervision.supervisor_process"
START_TIMEOUT_S = 90.0
"""For the supervisor to listen and its processes to accept, on a busy machine."""
FIND_PERIOD_S = 1.0
REPLICAS_TIMEOUT_S = 5.0
POLL_S = 0.05
MOST_USELESS = 3
"""Supervisors that end, one after the other, before their processes have served."""
ADDRESS_FREE_S = 20.0
"""Within which processes whose supervisor has died let go of its address."""

logger = logging.getLogger("ray.serve")


class GatewayNode:
    """The gateways of one node. Its constructor returns once they accept connections."""

    async def __init__(  # type: ignore[misc]  # Serve awaits an asynchronous constructor
        self, fleet: dict[str, Any], registry: DeploymentHandle, engines: list[DeploymentHandle], stays_one_node: bool
    ) -> None:
        self._given, self._stays_one_node = fleet, stays_one_node
        given = Fleet.model_validate(fleet)
        host = listening_host(given.gateway.host, ray.util.get_node_ip_address())
        self._fleet = _listening(given, host, given.gateway.port)
        self._status: NodeStatus | None = None
        self._ends = self._serves = False
        self._sockets: list[socket.socket] = []
        """Of the supervisor that this actor has started; none of one that it has adopted."""
        self._replicas: asyncio.Future[Replicas] | None = None
        self._supervisor = socket_name(ray.get_runtime_context().get_node_id())
        self._channel = await self._attached()
        self._staying = asyncio.create_task(self._stay_attached())
        await self._until_serving()
        self._leading = asyncio.create_task(self._lead_to_registry())

    async def _attached(self) -> Channel:
        """A channel to the node's supervisor, which is started where there is none."""
        content = self._fleet.model_dump(mode="json")
        host = engine_host(ray.nodes(), ray.util.get_node_ip_address(), self._stays_one_node)
        channel = await attach(self._supervisor)
        if channel is None:
            self._sockets = self._sockets or _listen(self._fleet)
            listeners = [each.fileno() for each in self._sockets]
            log = str(logs_folder() / f"gateway-{self._fleet.name}.log")
            await asyncio.to_thread(
                _start_supervisor, Startup(self._supervisor, content, host, log, listeners=listeners)
            )
            async with asyncio.timeout(START_TIMEOUT_S):
                while (channel := await attach(self._supervisor)) is None:  # noqa: ASYNC110  # another's state
                    await asyncio.sleep(POLL_S)
        channel.send(Attach(content, host))
        return channel

    async def _until_serving(self) -> None:
        async with asyncio.timeout(START_TIMEOUT_S):
            while self._status is None or not (self._status.serving or self._status.failure):
                if self._staying.done():
                    raise RuntimeError("the gateway's supervisor ended while its processes started; see its log")
                await asyncio.sleep(POLL_S)
        if self._status.failure:
            raise RuntimeError(f"the gateway cannot serve this fleet: {self._status.failure}")

    async def _stay_attached(self) -> None:
        """Takes what the supervisor says; starts another where it has ended. Returns where there is no use in that."""
        useless = 0
        while True:
            self._serves = False
            await self._read()
            useless = 0 if self._serves else useless + 1
            if self._ends or self._status is None or useless == MOST_USELESS:
                return
            logger.warning("the gateway's supervisor has ended; starting another")
            self._channel.close()
            self._fleet = _listening(self._fleet, self._fleet.gateway.host, self._status.port)
            self._channel = await self._attached_again()

    async def _attached_again(self) -> Channel:
        """Raises RuntimeError where no other can listen: processes of the former one hold its address for a moment."""
        deadline = time.monotonic() + ADDRESS_FREE_S
        while True:
            try:
                return await self._attached()
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(POLL_S)

    async def _read(self) -> None:
        while (message := await self._channel.receive()) is not None:
            match message:
                case NodeStatus():
                    self._status = message
                    self._serves |= message.serving
                case Replicas() if self._replicas and not self._replicas.done():
                    self._replicas.set_result(message)

    async def _lead_to_registry(self) -> None:
        """Tells the supervisor where the registry is: another one is somewhere else."""
        while True:
            try:
                if address := await asyncio.to_thread(endpoint.find):
                    self._channel.send(FollowRegistry(address))
            except Exception as error:  # whatever Ray raises: the supervisor goes on with the one that it has
                logger.warning("the registry's address is not found: %s: %s", type(error).__name__, error)
            await asyncio.sleep(FIND_PERIOD_S)

    async def address(self) -> str:
        """Where clients on every node reach the gateway, as far as it is reached from elsewhere at all."""
        assert self._status is not None
        host = reachable_host(self._fleet.gateway.host, ray.util.get_node_ip_address())
        return http_address(host, self._status.port)

    async def fleet(self) -> dict[str, Any]:
        """As it was given."""
        return self._given

    async def replicas(self) -> list[dict[str, Any]]:
        """`info` and `load` of each replica that the gateways know."""
        if self._replicas is None or self._replicas.done():
            self._replicas = asyncio.get_running_loop().create_future()
            self._channel.send(AskReplicas())
        async with asyncio.timeout(REPLICAS_TIMEOUT_S):
            known = await asyncio.shield(self._replicas)
        return [{"info": info, "load": known.loads[info["incarnation"]]} for info in known.replicas]

    async def check_health(self) -> None:
        """Fails where the supervisor is gone for good: Serve then replaces this actor."""
        if self._staying.done() or self._leading.done():
            raise RuntimeError("the gateway's supervisor has ended")

    async def __del__(self) -> None:
        if not hasattr(self, "_leading"):
            return
        self._ends = True
        self._leading.cancel()
        await asyncio.gather(self._leading, return_exceptions=True)
        for each in self._sockets:
            each.close()
        if not await asyncio.to_thread(_fleet_goes_on):
            self._channel.send(End())
            await asyncio.wait({self._staying}, timeout=self._fleet.gateway.drain_timeout_s)
        self._channel.close()
        await asyncio.gather(self._staying, return_exceptions=True)


def _listening(fleet: Fleet, host: str, port: int) -> Fleet:
    """The fleet whose gateway listens there."""
    return fleet.model_copy(update={"gateway": fleet.gateway.model_copy(update={"host": host, "port": port})})


def _listen(fleet: Fleet) -> list[socket.socket]:
    """Raises RuntimeError, with what is wrong, where it cannot."""
    try:
        return listening_sockets(fleet.gateway.host, fleet.gateway.port)
    except OSError as error:
        raise RuntimeError(cannot_listen(fleet.model_dump(mode="json"), error)) from None


def _start_supervisor(startup: Startup) -> None:
    """Raises RuntimeError, with what is wrong."""
    command = [sys.executable, "-m", SUPERVISOR]
    starter = subprocess.run(
        command,
        input=msgspec.json.encode(startup),
        pass_fds=startup.listeners,
        capture_output=True,
        cwd=PROJECT_ROOT,
        check=False,
        timeout=60,
    )
    if starter.returncode:
        raise RuntimeError((starter.stdout or starter.stderr).decode(errors="replace").strip()[-2000:])


def _fleet_goes_on() -> bool:
    """Whether Serve still runs the application that this gateway belongs to."""
    try:
        application = serve.status().applications.get(APPLICATION)
    except Exception:  # the controller ends, too
        return False
    return application is not None and application.status is not ApplicationStatus.DELETING
