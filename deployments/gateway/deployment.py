"""The gateway as Serve runs it: a server on an event loop of its own, kept in step with the registry."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
import time
import uuid
from concurrent.futures import Future
from typing import Any

import ray
import uvloop
from ray import serve
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus

from cluster.fleet import Fleet
from cluster.names import APPLICATION
from deployments.announcement import Announcement
from deployments.autoscaling.control import Door
from deployments.engine.backend import EngineLoad
from deployments.gateway.exchange import Exchange
from deployments.gateway.server import GatewayServer

WATCH_PAUSE_S = 0.05
RETRY_S = 0.5
ANSWERS_WITHIN_S = 5
LOOK_EVERY_S = 0.3
FOUND_WITHIN_S = 15
"""A registry that has just started has heard of all gateways by then."""
REPLACED_WITHIN_S = 60

logger = logging.getLogger("ray.serve")


class GatewayReplica:
    """One gateway process. Serve's own loop shares the interpreter, but no request of ours ever runs on it."""

    async def __init__(  # type: ignore[misc]  # Serve awaits an asynchronous constructor
        self, fleet: dict[str, Any], registry: DeploymentHandle, engines: list[DeploymentHandle]
    ) -> None:
        self._fleet = Fleet.model_validate(fleet)
        self._registry = registry
        self._server = GatewayServer(self._fleet)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gateway", daemon=True)
        self._thread.start()
        self._name = uuid.uuid4().hex
        settings = self._fleet.gateway
        try:
            await self._port_is_ours(settings.host, settings.port)
            await self._on_gateway(self._server.start(reuse_port=True))
        except OSError as error:
            raise RuntimeError(
                f"the gateway cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; "
                "end what listens there, or set `gateway.port` in the fleet file"
            ) from error
        await self._on_gateway(self._server.preparer.start())
        self._exchange: Exchange | None = None
        if settings.processes > 1:
            self._exchange = Exchange(self._server.directory, ray.util.get_node_ip_address(), self._server.secrets)
            await self._on_gateway(self._exchange.start())
        self._watching = asyncio.create_task(self._watch())

    async def _port_is_ours(self, host: str, port: int) -> None:
        """Returns once nothing listens there, or gateways of this fleet alone: of one that is replaced, or beside this
        one. Raises OSError where something else does."""
        deadline = time.monotonic() + FOUND_WITHIN_S
        while True:
            try:
                require_free(host, port)
                return
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                    raise
            if await self._others():
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def _others(self) -> int:
        """How many other gateways of this fleet there are. 0 where the registry does not tell."""
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                return int(await self._registry.watchers.remote(self._name))
        except Exception as error:
            logger.warning("the registry does not tell of other gateways (%s)", error)
            return 0

    async def _is_replaced(self) -> bool:
        """Whether another gateway listens on the port, or will soon: False where the whole fleet ends."""
        deadline = time.monotonic() + REPLACED_WITHIN_S
        while time.monotonic() < deadline and await asyncio.to_thread(_fleet_goes_on):
            if await self._others():
                return True
            await asyncio.sleep(LOOK_EVERY_S)
        return False

    async def _on_gateway(self, work: Any) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return await asyncio.wrap_future(future)

    async def _watch(self) -> None:
        """Hands each new list of replicas to the server."""
        version = -1
        replicas: dict[str, Announcement] = {}
        while True:
            try:
                async with asyncio.timeout(30):
                    own = self._exchange.endpoint if self._exchange else ""
                    news = await self._registry.watch.remote(version, own, self._name, self._doors())
                listed = [Announcement.from_dict(replica["announcement"]) for replica in news["replicas"]]
                current = {announcement.incarnation: announcement for announcement in listed}
                if not news["settled"]:
                    current = {**replicas, **current}
                if current != replicas:
                    replicas = current
                    self._loop.call_soon_threadsafe(self._server.update, list(current.values()))
                loads = {r["announcement"]["incarnation"]: EngineLoad(**r["load"]) for r in news["replicas"]}
                self._loop.call_soon_threadsafe(self._server.directory.report, loads)
                if self._exchange:
                    self._loop.call_soon_threadsafe(self._exchange.connect, news["gateways"])
                version = news["version"]
                await asyncio.sleep(WATCH_PAUSE_S)
            except Exception as error:
                # What is known stays in force: the registry restarts by itself.
                logger.warning("the registry does not answer (%s: %s); trying again", type(error).__name__, error)
                await asyncio.sleep(RETRY_S)

    def _doors(self) -> list[Door]:
        return [
            Door(model=one.model.name, waiting=one.admission.waiting, booked_s=dict(one.router.booked_s))
            for one in self._server.directory.models
        ]

    async def address(self) -> str:
        return f"http://{self._fleet.gateway.host}:{self._server.port}"

    async def fleet(self) -> dict[str, Any]:
        """As it was given."""
        return self._fleet.model_dump(mode="json")

    async def check_health(self) -> None:
        if not self._thread.is_alive() or self._watching.done():
            raise RuntimeError("the gateway's event loop has ended")

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                await self._on_gateway(asyncio.sleep(0))
        except TimeoutError:
            return False
        return True

    async def __del__(self) -> None:
        if not hasattr(self, "_watching"):
            return
        # One that hangs has nothing to wait for, and its successor waits for the port.
        if self._thread.is_alive() and await self._answers():
            replaced = await self._is_replaced()
            await self._on_gateway(self._server.hand_over() if replaced else self._server.drain())
        self._watching.cancel()
        if self._exchange:
            await self._on_gateway(self._exchange.stop())
        await self._on_gateway(self._server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, 5)


def require_free(host: str, port: int) -> None:
    """Raises OSError where anything listens there, also what would share the port."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((host, port))
        trial.listen(1)


def _fleet_goes_on() -> bool:
    """Whether Serve still runs the application that this gateway belongs to."""
    try:
        application = serve.status().applications.get(APPLICATION)
    except Exception:  # the controller ends, too
        return False
    return application is not None and application.status is not ApplicationStatus.DELETING
