"""Registries without Ray, and a follower in a process of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import msgspec

from deployments.encrypted_sockets import SocketKeys
from deployments.engine.backend import EngineLoad
from deployments.registry.follower import Follower
from deployments.registry.keys import registry_keys
from deployments.registry.known_fleet import KnownFleet
from deployments.registry.membership import Membership
from deployments.registry.messages import RegistryAddress, ReplicaReport
from deployments.registry.server import RegistryServer
from deployments.replica_info import ReplicaInfo
from tests.support.engine_keys import FLEET, secrets_file
from tests.support.processes import HOST, PROJECT_ROOT


def keys() -> SocketKeys:
    """Those of all fleets of tests without Ray."""
    return registry_keys(FLEET, str(secrets_file()))


@dataclass(frozen=True)
class RunningRegistry:
    """A registry on this event loop."""

    membership: Membership
    address: RegistryAddress
    running: asyncio.Task[None]

    def hear(self, *replicas: ReplicaInfo) -> None:
        """As if these replicas had reported themselves. The news follow within a quarter of a second."""
        for info in replicas:
            self.membership.take(ReplicaReport(info, EngineLoad()), time.monotonic())

    async def published(self) -> None:
        """Returns once all that it has heard is on its way to followers."""
        async with asyncio.timeout(60):
            while self.membership.changed:  # noqa: ASYNC110  # another's state
                await asyncio.sleep(0)


@asynccontextmanager
async def registry(name: str = "r") -> AsyncIterator[RunningRegistry]:
    """A new incarnation, which knows nobody."""
    membership = Membership(name, time.monotonic())
    server = RegistryServer(membership, keys(), HOST)
    running = asyncio.create_task(server.run())
    try:
        yield RunningRegistry(membership, server.address, running)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        server.close()


@asynccontextmanager
async def following(address: RegistryAddress) -> AsyncIterator[tuple[KnownFleet, Follower]]:
    """A follower on this event loop."""
    known = KnownFleet()
    follower = Follower(known, lambda: None)
    await follower.connect(address, keys())
    try:
        yield known, follower
    finally:
        await follower.close()


@contextmanager
def registry_process(*replicas: ReplicaInfo) -> Iterator[tuple[int, RegistryAddress]]:
    """The id of a process with a registry, to which these replicas report, and its address."""
    process = _process("serve", msgspec.json.encode(replicas).decode())
    try:
        assert process.stdout is not None
        yield process.pid, msgspec.json.decode(process.stdout.readline(), type=RegistryAddress)
    finally:
        process.kill()
        process.communicate()


def follower_process(address: RegistryAddress) -> subprocess.Popen[str]:
    """A process that prints all incarnations in a line of JSON whenever they change."""
    return _process("follow", msgspec.json.encode(address).decode())


def _process(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.registries", *arguments]
    return subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True)


async def _serve(replicas: Sequence[ReplicaInfo]) -> None:
    async with registry("process") as running:
        print(msgspec.json.encode(running.address).decode(), flush=True)
        while True:
            running.hear(*replicas)
            await asyncio.sleep(1)


async def _print_news(address: RegistryAddress) -> None:
    known = KnownFleet()
    printed: list[str] = []

    def show() -> None:
        current = [info.incarnation for info in known.infos()]
        if current != printed:
            print(json.dumps(current), flush=True)
            printed[:] = current

    follower = Follower(known, show)
    await follower.connect(address, keys())
    await asyncio.Event().wait()


if __name__ == "__main__":
    if sys.argv[1] == "follow":
        asyncio.run(_print_news(msgspec.json.decode(sys.argv[2], type=RegistryAddress)))
    else:
        asyncio.run(_serve(msgspec.json.decode(sys.argv[2], type=list[ReplicaInfo])))
