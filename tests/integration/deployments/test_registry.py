"""Registries, participants and followers over real sockets: no participant can stop another, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import psutil
import pytest
import zmq
import zmq.asyncio

from cluster.fleet_secrets import FleetSecrets
from deployments.encrypted_sockets import SocketKeys, client_socket, connect
from deployments.engine.backend import EngineLoad
from deployments.registry import announcer as announcer_module
from deployments.registry import listener as listener_module
from deployments.registry import server as server_module
from deployments.registry.announcer import Announcer
from deployments.registry.follower import Follower
from deployments.registry.keys import PURPOSE
from deployments.registry.known_fleet import KnownFleet
from deployments.registry.listener import Listener, Place
from deployments.registry.membership import Membership
from deployments.registry.messages import NumberedReport, RegistryAddress, ReplicaReport, Withdrawal, encode
from deployments.registry.reporter import Reporter
from deployments.replica_info import ReplicaInfo
from tests.support.front import until
from tests.support.processes import HOST, fake_pool, replica_info
from tests.support.registries import RunningRegistry, follower_process, following, keys, registry, registry_process
from tests.support.strangers import with_own_key, without_keys

INFO = replica_info("http://127.0.0.1:1", fake_pool())
PROMPT_S = 5.0
"""Within which news are everywhere, on a busy machine."""
NOTHING_S = 1.5
OLD, NEW = b"the-old-secret-of-this-fleet", b"the-new-secret-of-this-fleet"
PUBLISHED = 300 << 20
"""Bytes that a follower is sent while it is stopped."""


def info(incarnation: str, **changes: str) -> ReplicaInfo:
    return replace(INFO, incarnation=incarnation, replica=incarnation, **changes)


def incarnations(known: KnownFleet) -> list[str]:
    return [each.incarnation for each in known.infos()]


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes of a test, which end with it, stopped or not."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def stopped() -> Iterator[tuple[int, RegistryAddress]]:
    """A registry in a process of its own, which the test may stop."""
    with registry_process() as running:
        yield running


async def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        return (await asyncio.to_thread(process.stdout.readline)).strip()


async def test_followers_hear_of_a_replica_that_comes_works_and_goes() -> None:
    async with registry() as one, following(one.address) as (known, _), following(one.address) as (other, _):
        reporter = Reporter()
        await reporter.connect(one.address, keys())
        await reporter.deliver(ReplicaReport(INFO, EngineLoad()), PROMPT_S)
        await until(lambda: known.infos() == other.infos() == [INFO], PROMPT_S)
        await reporter.deliver(ReplicaReport(INFO, EngineLoad(running=3)), PROMPT_S)
        await until(lambda: known.loads() == other.loads() == {INFO.incarnation: EngineLoad(running=3)}, PROMPT_S)
        await reporter.deliver(Withdrawal(INFO.incarnation), PROMPT_S)
        await until(lambda: known.infos() == other.infos() == [], PROMPT_S)
        await reporter.close()


async def test_stopped_follower_delays_no_other(started: list[subprocess.Popen[str]]) -> None:
    async with registry() as one, following(one.address) as (known, _):
        one.hear(info("first"))
        started += [follower_process(one.address), follower_process(one.address)]
        assert [await line(each) for each in started] == ['["first"]'] * 2
        os.kill(started[0].pid, signal.SIGSTOP)
        for number in range(20):
            began = time.monotonic()
            one.hear(info(f"{number}"))
            await until(lambda number=number: f"{number}" in incarnations(known), PROMPT_S)  # type: ignore[misc]
            while f'"{number}"' not in await line(started[1]):
                pass
            assert time.monotonic() - began < PROMPT_S
        os.kill(started[0].pid, signal.SIGCONT)
        while '"19"' not in await line(started[0]):
            pass


async def test_stopped_follower_costs_the_registry_a_bounded_memory(
    started: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "PERIOD_S", 0)
    monkeypatch.setattr(server_module, "LOOK_PERIOD_S", 0.001)
    async with registry() as one:
        one.hear(info("first"))
        started.append(follower_process(one.address))
        assert await line(started[0]) == '["first"]'
        os.kill(started[0].pid, signal.SIGSTOP)
        before, published = psutil.Process().memory_info().rss, 0
        while published < PUBLISHED:
            one.hear(*(info(f"{n}", url=f"http://{published}/" + "x" * 10_000) for n in range(100)))
            await one.published()
            published += 100 * 10_000
        assert psutil.Process().memory_info().rss - before < PUBLISHED / 5


async def test_stopped_registry_delays_no_participant_and_takes_nothing_away(
    stopped: tuple[int, RegistryAddress],
) -> None:
    pid, address = stopped
    reporter = Reporter()
    async with following(address) as (known, _):
        await reporter.connect(address, keys())
        await reporter.deliver(ReplicaReport(INFO, EngineLoad()), PROMPT_S)
        await until(lambda: known.infos() == [INFO], PROMPT_S)
        os.kill(pid, signal.SIGSTOP)
        taken = time.monotonic()
        async with asyncio.timeout(60):
            while time.monotonic() - taken < NOTHING_S:
                began = time.thread_time()
                if reporter.send(ReplicaReport(INFO, EngineLoad())):
                    taken = time.monotonic()
                assert time.thread_time() - began < PROMPT_S
                await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await reporter.deliver(Withdrawal("nobody"), 0.5)
        assert known.infos() == [INFO]
        os.kill(pid, signal.SIGCONT)
        await reporter.deliver(ReplicaReport(info("later"), EngineLoad()), 4 * PROMPT_S)
        await until(lambda: incarnations(known) == [INFO.incarnation, "later"], PROMPT_S)
        await reporter.close()


def of_another_purpose(socket: zmq.asyncio.Socket, address: str) -> None:
    connect(socket, address, SocketKeys.of(FleetSecrets((b"a-secret-of-another-fleet",)), PURPOSE))


@pytest.mark.parametrize("join", [with_own_key, of_another_purpose, without_keys])
async def test_unlisted_keys_hear_nothing_and_report_nothing(join: Callable[[zmq.asyncio.Socket, str], None]) -> None:
    async with registry() as one:
        one.hear(INFO)
        listener, sender = client_socket(zmq.SUB), client_socket(zmq.DEALER)
        try:
            listener.subscribe(b"")
            join(listener, one.address.news)
            join(sender, one.address.reports)
            await sender.send(encode(NumberedReport(1, Withdrawal(INFO.incarnation))))
            heard = await asyncio.gather(listener.poll(1000 * NOTHING_S), sender.poll(1000 * NOTHING_S))
            assert heard == [0, 0]
        finally:
            listener.close(linger=0)
            sender.close(linger=0)
        assert [each for each, _ in one.membership.loads()] == [INFO]


async def test_unreadable_reports_are_refused_and_the_registry_goes_on() -> None:
    async with registry() as one:
        sender, reporter = client_socket(zmq.DEALER), Reporter()
        try:
            connect(sender, one.address.reports, keys())
            for message in ([b""], [b"\xc1"], [b"\x92\x01\xc0"], [b"a", b"b"], [b""] * 30):
                await sender.send_multipart(message)
            await reporter.connect(one.address, keys())
            await reporter.deliver(ReplicaReport(INFO, EngineLoad()), PROMPT_S)
            assert not await sender.poll(100), "no receipt for what was not taken"
        finally:
            sender.close(linger=0)
            await reporter.close()


async def test_registry_listens_anew_with_another_secret_or_address_and_forgets_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener_module, "CHECK_PERIOD_S", 0.05)
    before, after = (SocketKeys.of(FleetSecrets(values), PURPOSE) for values in ((OLD,), (NEW, OLD)))
    places = [Place(HOST, before)]
    published: list[RegistryAddress] = []
    listener = Listener(
        Membership("r", time.monotonic()), lambda: places[-1], lambda: (published or [None])[-1], published.append
    )
    await listener.start()
    keeping, reporter = asyncio.create_task(listener.keep()), Reporter()
    known = KnownFleet()
    follower = Follower(known, lambda: None)
    try:
        await reporter.connect(published[-1], before)
        await reporter.deliver(ReplicaReport(INFO, EngineLoad()), PROMPT_S)
        for place, keys_of_client in ((Place(HOST, after), after), (Place("::1", after), before)):
            places.append(place)
            addresses = len(published)
            await until(lambda addresses=addresses: len(published) > addresses, PROMPT_S)  # type: ignore[misc]
            await follower.connect(published[-1], keys_of_client)
            await reporter.connect(published[-1], keys_of_client)
            await reporter.deliver(ReplicaReport(info(place.host), EngineLoad()), PROMPT_S)
            await until(lambda place=place: place.host in incarnations(known), PROMPT_S)  # type: ignore[misc]
        assert incarnations(known) == [INFO.incarnation, HOST, "::1"]
        published.clear()
        await until(lambda: bool(published), PROMPT_S)
        assert published[-1].registry == "r", "it was removed, and is published again"
        successor = RegistryAddress("successor", "tcp://127.0.0.1:1", "tcp://127.0.0.1:2")
        published.append(successor)
        places.append(Place(HOST, after))
        await until(lambda: listener._place == places[-1], PROMPT_S)
        await asyncio.sleep(0.3)
        assert published[-1] == successor, "it does not take the place of the registry that came after it"
        assert listener.listens
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await asyncio.gather(reporter.close(), follower.close(), listener.stop())
    assert not listener.listens


async def test_replica_finds_a_restarted_registry_and_nothing_is_lost_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(announcer_module, "SILENT_S", 0.5)
    monkeypatch.setattr(announcer_module, "LOOK_PERIOD_S", 0.05)
    current: list[RunningRegistry] = []
    announcer = Announcer(lambda: current[-1].address if current else None, keys)
    running = asyncio.create_task(announcer.run())

    async def report() -> None:
        while True:
            announcer.report(INFO, EngineLoad())
            await asyncio.sleep(0.1)

    reporting = asyncio.create_task(report())
    try:
        async with registry("one") as one:
            current.append(one)
            async with following(one.address) as (known, follower):
                one.hear(info("quiet"))
                await until(lambda: incarnations(known) == ["quiet", INFO.incarnation], PROMPT_S)
                async with registry("two") as two:
                    await follower.connect(two.address, keys())
                    two.hear(info("new"))
                    await until(lambda: "new" in incarnations(known), PROMPT_S)
                    assert incarnations(known)[:2] == ["quiet", INFO.incarnation]
                    current.append(two)
                    one.running.cancel()
                    await until(lambda: (INFO, EngineLoad()) in two.membership.loads(), PROMPT_S)
                    await announcer.withdraw(INFO.incarnation)
                    await until(lambda: incarnations(known) == ["quiet", "new"], PROMPT_S)
    finally:
        for task in (reporting, running):
            task.cancel()
        await asyncio.gather(reporting, running, return_exceptions=True)
