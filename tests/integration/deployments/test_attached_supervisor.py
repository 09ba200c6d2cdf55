"""A supervisor that Serve actors attach to: adoption, another fleet, and its end."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import uvloop

from cluster.fleet import Fleet
from cluster.fleet_secrets import make_secrets
from cluster.keys import new_key
from deployments.gateway.supervision.attachment import CREDENTIALS, attach, socket_name
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
from deployments.registry.messages import Withdrawal
from tests.support.front import Engine
from tests.support.process_table import gone, with_arguments
from tests.support.processes import HOST, PROJECT_ROOT, fake_fleet
from tests.support.registries import RunningRegistry, registry
from tests.support.sockets import listening

ORPHANED_S = 2.0
BODY = {"model": "m", "prompt": "hello", "max_tokens": 4}


class Actor:
    """What a Serve actor does, without Ray."""

    def __init__(self, channel: Channel, fleet: Fleet, known: RunningRegistry) -> None:
        self.channel = channel
        channel.send(Attach(fleet.model_dump(mode="json"), HOST))
        channel.send(FollowRegistry(known.address))

    async def status(self) -> NodeStatus:
        """Once the fleet is served, or cannot be."""
        async with asyncio.timeout(60):
            while (message := await self.channel.receive()) is not None:
                if isinstance(message, NodeStatus) and (message.serving or message.failure):
                    return message
        raise AssertionError("the supervisor has ended")

    async def replicas(self) -> Replicas:
        """What the supervisor knows."""
        self.channel.send(AskReplicas())
        async with asyncio.timeout(60):
            while not isinstance(message := await self.channel.receive(), Replicas):
                assert message is not None, "the supervisor has ended"
            return message

    async def ended(self) -> None:
        """Returns once the supervisor is gone."""
        async with asyncio.timeout(60):
            while await self.channel.receive() is not None:
                pass


def start(name: str, fleet: Fleet, folder: Path) -> subprocess.CompletedProcess[str]:
    startup = Startup(name, fleet.model_dump(mode="json"), HOST, str(folder / "log"), ORPHANED_S)
    command = [sys.executable, "-m", "deployments.gateway.supervision.supervisor_process"]
    content = msgspec.json.encode(startup).decode()
    return subprocess.run(command, input=content, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)


async def attached(name: str) -> Channel:
    async with asyncio.timeout(30):
        while (channel := await attach(name)) is None:  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.05)
    return channel


@pytest.fixture
async def known(engines: tuple[Engine, Engine]) -> AsyncIterator[RunningRegistry]:
    """A registry to which the first engine's replica reports."""
    async with registry() as running:

        async def report() -> None:
            while True:
                running.hear(engines[0].announced())
                await asyncio.sleep(1)

        reporting = asyncio.create_task(report())
        yield running
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)


@pytest.fixture
async def supervisor(engines: tuple[Engine, Engine], tmp_path: Path) -> AsyncIterator[tuple[str, Fleet, str]]:
    """Its name, its fleet and the address on which it listens."""
    name, fleet = socket_name(secrets.token_hex(8)), fake_fleet(engines[0].pool)
    started = await asyncio.to_thread(start, name, fleet, tmp_path)
    assert started.returncode == 0, started.stdout + started.stderr
    yield name, fleet, started.stdout.removeprefix("listening on ").strip()
    if channel := await attach(name):
        channel.send(End())
        async with asyncio.timeout(60):
            while await channel.receive() is not None:
                pass


async def ask(url: str) -> int:
    connector = aiohttp.TCPConnector(force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as session,
        session.post(f"{url}/v1/completions", json=BODY) as answer,
    ):
        await answer.read()
        return answer.status


async def answers(url: str) -> None:
    """Waits until the replicas are known everywhere."""
    async with asyncio.timeout(30):
        while await ask(url) != 200:  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.05)


async def test_successor_of_an_actor_adopts_the_supervisor(
    supervisor: tuple[str, Fleet, str], engines: tuple[Engine, Engine], known: RunningRegistry
) -> None:
    name, fleet, url = supervisor
    first = Actor(await attached(name), fleet, known)
    status = await first.status()
    assert url.endswith(f":{status.port}")
    await answers(url)
    first.channel.close()
    await asyncio.sleep(ORPHANED_S / 4)
    second = Actor(await attached(name), fleet, known)
    assert (await second.status()).port == status.port
    await asyncio.sleep(ORPHANED_S)
    assert await ask(url) == 200
    assert {door["model"] for door in known.membership.doors()} == {"m"}
    assert [info["incarnation"] for info in (await second.replicas()).replicas] == [engines[0].url]


async def test_other_fleet_is_served_without_losing_a_request(
    supervisor: tuple[str, Fleet, str], known: RunningRegistry
) -> None:
    name, fleet, url = supervisor
    first = Actor(await attached(name), fleet, known)
    await first.status()
    await answers(url)
    model = fleet.models[0].model_copy(update={"aliases": ["new"]})
    changed = fleet.model_copy(update={"models": [model]})
    statuses: list[int] = []

    async def load() -> None:
        while True:
            statuses.append(await ask(url))

    loading = [asyncio.create_task(load()) for _ in range(2)]
    second = Actor(await attached(name), changed, known)
    assert not (await second.status()).failure
    async with aiohttp.ClientSession() as session, session.get(f"{url}/v1/models/new") as answer:
        assert answer.status == 200
    await asyncio.sleep(1)
    for task in loading:
        task.cancel()
    await asyncio.gather(*loading, return_exceptions=True)
    assert len(statuses) > 10
    assert set(statuses) == {200}


async def test_processes_are_replaced_when_the_secrets_change_without_losing_a_request(
    engines: tuple[Engine, Engine], tmp_path: Path
) -> None:
    """Each reads them at its start, and would go on with what was removed."""
    secrets_file = tmp_path / "secrets"
    secret = make_secrets(secrets_file).values[0].decode()
    fleet = fake_fleet(engines[0].pool).model_copy(update={"secrets_file": str(secrets_file)})
    name = socket_name(secrets.token_hex(8))
    started = await asyncio.to_thread(start, name, fleet, tmp_path)
    url = started.stdout.removeprefix("listening on ").strip()
    channel = await attached(name)
    channel.send(Attach(fleet.model_dump(mode="json"), HOST))
    log, statuses = tmp_path / "log", []
    async with asyncio.timeout(60):
        while " serves after " not in log.read_text():  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.05)
        secrets_file.write_text(f"{new_key()}\n{secret}\n")
        while log.read_text().count(" serves after ") < 2:
            async with aiohttp.ClientSession() as session, session.get(f"{url}/health") as answer:
                statuses.append(answer.status)
    assert set(statuses) == {200}
    assert "the fleet's secrets have changed; replacing the gateway processes" in log.read_text()
    channel.send(End())
    async with asyncio.timeout(60):
        while await channel.receive() is not None:
            pass


async def test_fleet_that_cannot_be_served_leaves_the_former_one(
    supervisor: tuple[str, Fleet, str], tmp_path: Path, known: RunningRegistry
) -> None:
    name, fleet, url = supervisor
    await Actor(await attached(name), fleet, known).status()
    await answers(url)
    content: dict[str, Any] = fleet.model_dump(mode="json")
    content["tenants"] = [{"name": "us", "key_file": str(tmp_path / "missing")}]
    second = Actor(await attached(name), Fleet.model_validate(content), known)
    assert "missing: No such file" in (await second.status()).failure
    assert await ask(url) == 200


async def test_restarted_registry_takes_nothing_away_and_what_it_hears_is_added(
    supervisor: tuple[str, Fleet, str], engines: tuple[Engine, Engine], known: RunningRegistry
) -> None:
    name, fleet, url = supervisor
    actor = Actor(await attached(name), fleet, known)
    await actor.status()
    await answers(url)
    async with registry("restarted") as restarted:
        actor.channel.send(FollowRegistry(restarted.address))
        until = time.monotonic() + 60
        while not restarted.membership.doors():
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.5)
        assert await ask(url) == 200, "its empty list is no news"
        restarted.hear(engines[1].announced())
        while len((await actor.replicas()).replicas) < 2:
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
        restarted.membership.take(Withdrawal(engines[0].url), time.monotonic())
        while [info["incarnation"] for info in (await actor.replicas()).replicas] != [engines[1].url]:
            assert time.monotonic() < until
            await asyncio.sleep(0.05)


async def test_supervisor_without_an_actor_ends(supervisor: tuple[str, Fleet, str]) -> None:
    name, _, url = supervisor
    channel = await attached(name)
    channel.close()
    async with asyncio.timeout(30):
        while (another := await attach(name)) is not None:
            another.close()
            await asyncio.sleep(ORPHANED_S * 2)
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask(url)


async def test_end_leaves_no_traceback_in_the_log(
    supervisor: tuple[str, Fleet, str], known: RunningRegistry, tmp_path: Path
) -> None:
    name, fleet, _ = supervisor
    actor = Actor(await attached(name), fleet, known)
    await actor.status()
    peer = actor.channel._writer.get_extra_info("socket")
    pid, _, _ = CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
    actor.channel.send(End())
    assert await asyncio.to_thread(gone, [pid], 60)
    log = (tmp_path / "log").read_text()
    assert "gateway process 0" in log
    assert "Traceback" not in log


async def test_actors_attach_from_serves_own_kind_of_loop(supervisor: tuple[str, Fleet, str]) -> None:
    """uvloop takes an abstract address for an empty path."""

    async def attaches(name: str) -> bool:
        channel = await attach(name)
        if channel:
            channel.close()
        return channel is not None

    (await attached(supervisor[0])).close()
    assert await asyncio.to_thread(uvloop.run, attaches(supervisor[0]))


async def test_taken_port_is_told_to_the_starter(supervisor: tuple[str, Fleet, str], tmp_path: Path) -> None:
    name, fleet, url = supervisor
    channel = await attached(name)  # without an actor it would end
    port = int(url.rpartition(":")[2])
    gateway = fleet.gateway.model_copy(update={"port": port})
    other = fleet.model_copy(update={"gateway": gateway})
    started = await asyncio.to_thread(start, socket_name(secrets.token_hex(8)), other, tmp_path)
    assert started.returncode == 1
    assert f"cannot listen on {HOST}:{port}: Address already in use" in started.stdout
    channel.close()


async def test_supervisor_is_in_a_session_of_its_own(
    supervisor: tuple[str, Fleet, str], known: RunningRegistry
) -> None:
    """Ray ends an actor's children, and all of its process group."""
    name, fleet, url = supervisor
    actor = Actor(await attached(name), fleet, known)
    await actor.status()
    pids = await asyncio.to_thread(_supervisors, url)
    assert pids
    assert all(os.getsid(pid) == pid != os.getsid(0) for pid in pids)


def _supervisors(url: str) -> set[int]:
    """Process ids of the one that listens there: other tests of this machine start others."""
    port = int(url.rpartition(":")[2])
    return {
        one.pid
        for one in listening(with_arguments("deployments.gateway.supervision.supervisor_process"))
        if one.port == port
    }
