"""The gateway as Serve runs it: an actor that attaches to its node's supervisor, and tells it where the registry is.

No request passes through it. Where it dies, the supervisor and its processes go on until its successor attaches.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
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
from deployments.gateway.supervision.supervisor_process import Startup
from deployments.local_ray import logs_folder
from deployments.registry import endpoint

SUPERVISOR = "deployments.gateway.supervision.supervisor_process"
START_TIMEOUT_S = 90.0
"""For the supervisor to listen and its processes to accept, on a busy machine."""
FIND_PERIOD_S = 1.0
REPLICAS_TIMEOUT_S = 5.0
POLL_S = 0.05

logger = logging.getLogger("ray.serve")


class GatewayNode:
    """The gateways of one node. Its constructor returns once they accept connections."""

    async def __init__(  # type: ignore[misc]  # Serve awaits an asynchronous constructor
        self, fleet: dict[str, Any], registry: DeploymentHandle, engines: list[DeploymentHandle], stays_one_node: bool
    ) -> None:
        self._given, self._stays_one_node = fleet, stays_one_node
        self._fleet = _listening(Fleet.model_validate(fleet), ray.util.get_node_ip_address())
        self._status: NodeStatus | None = None
        self._replicas: asyncio.Future[Replicas] | None = None
        self._channel = await self._attached(socket_name(ray.get_runtime_context().get_node_id()))
        self._reading = asyncio.create_task(self._read())
        await self._until_serving()
        self._leading = asyncio.create_task(self._lead_to_registry())

    async def _attached(self, supervisor: str) -> Channel:
        """A channel to the node's supervisor, which is started where there is none."""
        content = self._fleet.model_dump(mode="json")
        host = engine_host(ray.nodes(), ray.util.get_node_ip_address(), self._stays_one_node)
        channel = await attach(supervisor)
        if channel is None:
            startup = Startup(supervisor, content, host, str(logs_folder() / f"gateway-{self._fleet.name}.log"))
            await asyncio.to_thread(_start_supervisor, startup)
            async with asyncio.timeout(START_TIMEOUT_S):
                while (channel := await attach(supervisor)) is None:  # noqa: ASYNC110  # another's state
                    await asyncio.sleep(POLL_S)
        channel.send(Attach(content, host))
        return channel

    async def _until_serving(self) -> None:
        async with asyncio.timeout(START_TIMEOUT_S):
            while self._status is None or not (self._status.serving or self._status.failure):
                if self._reading.done():
                    raise RuntimeError("the gateway's supervisor ended while its processes started; see its log")
                await asyncio.sleep(POLL_S)
        if self._status.failure:
            raise RuntimeError(f"the gateway cannot serve this fleet: {self._status.failure}")

    async def _read(self) -> None:
        while (message := await self._channel.receive()) is not None:
            match message:
                case NodeStatus():
                    self._status = message
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
        """Fails where the supervisor is gone: Serve then replaces this actor, which starts another."""
        if self._reading.done() or self._leading.done():
            raise RuntimeError("the gateway's supervisor has ended")

    async def __del__(self) -> None:
        if not hasattr(self, "_leading"):
            return
        self._leading.cancel()
        await asyncio.gather(self._leading, return_exceptions=True)
        if not await asyncio.to_thread(_fleet_goes_on):
            self._channel.send(End())
            await asyncio.wait({self._reading}, timeout=self._fleet.gateway.drain_timeout_s)
        self._channel.close()
        await asyncio.gather(self._reading, return_exceptions=True)


def _listening(fleet: Fleet, node_address: str) -> Fleet:
    """The fleet whose gateway listens on this node."""
    host = listening_host(fleet.gateway.host, node_address)
    return fleet.model_copy(update={"gateway": fleet.gateway.model_copy(update={"host": host})})


def _start_supervisor(startup: Startup) -> None:
    """Raises RuntimeError, with what is wrong, where it cannot listen."""
    command = [sys.executable, "-m", SUPERVISOR]
    starter = subprocess.run(
        command, input=msgspec.json.encode(startup), capture_output=True, cwd=PROJECT_ROOT, check=False, timeout=60
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
