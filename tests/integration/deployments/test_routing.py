"""The router at work in the gateway: prefixes by the engines' own events, reasons, learned speed, several gateways."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from cluster.fleet import Pool, Task
from deployments.engine.backend import backend
from deployments.engine.process import free_port
from deployments.gateway.peer_sync import PeerSync
from deployments.kv_cache.replay_protocol import FeedState
from deployments.kv_cache.report_subscriber import ReporterAddresses
from deployments.replica_info import ReplicaInfo
from deployments.routing.keys import KEY_TOKENS
from tests.support.cache_reporters import cache_reporter, reporting
from tests.support.front import Engine, Front, front, until
from tests.support.processes import HOST, fake_engine, fake_fleet, fake_pool, fake_spec, process, replica_info


def pool_of(name: str, **fake: Any) -> Pool:
    return fake_pool(name, decode_step_s=0.002, **fake)


@pytest.fixture(scope="module")
def cached_engines() -> Iterator[tuple[Engine, Engine]]:
    """Two engines with prefix caches, one three times as fast as the other at prefill."""
    a, b = pool_of("a", prefill_tokens_per_s=60_000), pool_of("b", prefill_tokens_per_s=20_000)
    with caching_engine(a) as one, caching_engine(b) as two:
        yield one, two


REPORTERS: dict[str, ReporterAddresses] = {}
"""Of the engines that run, by their address."""


@contextmanager
def reported(engine: Engine) -> Iterator[Engine]:
    """The same engine with a cache reporter beside it."""
    with cache_reporter(engine.url, fake_fleet(engine.pool)) as REPORTERS[engine.url]:
        yield engine


@contextmanager
def caching_engine(pool: Pool) -> Iterator[Engine]:
    with fake_engine(pool, caches=True) as url, reported(Engine(url, pool)) as engine:
        yield engine


@pytest.fixture
def empty_engine() -> Iterator[Engine]:
    """With a prefix cache that no other test has filled."""
    with caching_engine(pool_of("c", prefill_tokens_per_s=60_000)) as engine:
        yield engine


async def announced(engine: Engine, task: Task = Task.CHAT, **changes: Any) -> ReplicaInfo:
    """As its replica would announce it: with what the engine tells of itself."""
    made = replica_info(engine.url, engine.pool, task=task, renderer="fake")
    return replace(reporting(made, REPORTERS[engine.url]), **changes)


@asynccontextmanager
async def routed(*engines: Engine, **gateway: Any) -> AsyncIterator[Front]:
    fleet = fake_fleet(*(engine.pool for engine in engines), **gateway)
    async with front(fleet, [await announced(engine) for engine in engines]) as made:
        await settled(made)
        yield made


async def settled(gateway: Front) -> None:
    """Waits until the tokenizer is there and every feed is exact."""
    server = gateway.server
    replicas = [incarnation for served in server.state.directory.models for incarnation in served.router.replicas]
    await until(lambda: not server.state.unready())
    await until(lambda: all(server.state.feeds.state(incarnation) is FeedState.EXACT for incarnation in replicas))


def prompt(number: int, words: int = 400) -> str:
    return f"document {number} " + " ".join(f"w{number}-{n}" for n in range(words))


async def test_a_conversation_stays_where_its_beginning_lies(cached_engines: tuple[Engine, Engine]) -> None:
    async with routed(*cached_engines) as gateway:
        homes: dict[int, set[str]] = {}
        for turn in range(3):
            for number in range(8):
                status, body, answer = await gateway.ask(prompt=prompt(number) + " turn" * turn)
                assert status == 200
                homes.setdefault(number, set()).add(answer.headers["x-replica"])
                if turn:
                    cached = body["usage"]["prompt_tokens_details"]["cached_tokens"]
                    assert cached >= body["usage"]["prompt_tokens"] - 40
        assert all(len(replicas) == 1 for replicas in homes.values())
        assert len({replica for replicas in homes.values() for replica in replicas}) == 2, "and both have some"
        metrics = gateway.server.state.metrics.render().decode()
        predicted, actual, error = (
            sum(float(line.rsplit(" ", 1)[1]) for line in metrics.splitlines() if line.startswith(name + "_total{"))
            for name in (
                "gateway_predicted_cached_tokens",
                "gateway_actual_cached_tokens",
                "gateway_cached_tokens_error",
            )
        )
        assert actual > 10_000
        requests = 3 * 8
        assert 0 <= actual - predicted <= requests * (KEY_TOKENS - 1), "in whole keys"
        assert error == actual - predicted


async def test_streams_report_to_the_router_and_not_to_the_client(cached_engines: tuple[Engine, Engine]) -> None:
    async with routed(*cached_engines) as gateway:
        for _ in range(2):
            stream = await gateway.stream(prompt=prompt(100), max_tokens=5)
            assert b"usage" not in stream
            assert stream.count(b"data: ") == 6, "five tokens and [DONE]"
        with_usage = await gateway.stream(prompt=prompt(100), max_tokens=5, stream_options={"include_usage": True})
        assert with_usage.count(b'"usage":{') == 1
        router = gateway.server.state.directory.models[0].router
        assert router.output_tokens < 256
        assert "gateway_actual_cached_tokens_total{" in gateway.server.state.metrics.render().decode()


async def test_the_reasons_are_told_to_who_asks(cached_engines: tuple[Engine, Engine]) -> None:
    async with routed(*cached_engines) as gateway:
        body = {"model": "m", "prompt": prompt(200), "max_tokens": 1}
        async with gateway.session.post("/v1/completions", json=body) as answer:
            assert "x-routing" not in answer.headers
            home = answer.headers["x-replica"]
        await asyncio.sleep(0.1)
        async with gateway.session.post("/v1/completions", json=body, headers={"x-explain-routing": "1"}) as answer:
            told = json.loads(answer.headers["x-routing"])
        assert told["chosen"] == home
        assert {"replica", "cached_tokens", "waiting_s", "own_s", "others_s", "price_s"} <= told["candidates"][0].keys()
        assert told["candidates"][0]["cached_tokens"] > 500 > told["candidates"][1]["cached_tokens"]
        async with gateway.session.get("/debug/routing?decisions=1") as answer:
            (model,) = await answer.json()
        assert model["decisions"] == [told]
        assert {replica["feed"] for replica in model["replicas"]} == {"exact"}
        assert all(replica["prefix_blocks"] > 0 for replica in model["replicas"])
        for most in ("many", "9" * 5000, "-1", "\u0663"):
            async with gateway.session.get("/debug/routing", params={"decisions": most}) as answer:
                assert answer.status == 400


async def test_speeds_are_learned_from_what_is_streamed(cached_engines: tuple[Engine, Engine]) -> None:
    async with routed(*cached_engines) as gateway:
        for round_number in range(6):
            await asyncio.gather(
                *[gateway.stream(prompt=prompt(1000 + 10 * round_number + n, words=1500)) for n in range(6)]
            )
        state = (await (await gateway.session.get("/debug/routing")).json())[0]
        speed = {r["pool"]: r["prefill_tokens_per_second"] for r in state["replicas"]}
        assert 1.8 < speed["a"] / speed["b"] < 5, "three to one, on a busy machine"


async def test_mlperf_mode_looks_for_no_prefix(cached_engines: tuple[Engine, Engine]) -> None:
    a, b = cached_engines
    fleet = fake_fleet(a.pool, b.pool, mlperf=True)
    async with front(fleet, [await announced(a, caches=False), await announced(b, caches=False)]) as gateway:
        for _ in range(4):
            assert (await gateway.ask(prompt=prompt(300)))[0] == 200
        served = gateway.server.state.directory.models[0]
        assert served.router.index.keys == 0
        assert {int(max(d.cached_tokens)) for d in served.decisions} == {0}
        assert gateway.server.state.feeds.state(a.url) is None


async def test_an_engine_that_restarts_is_known_to_be_empty(cached_engines: tuple[Engine, Engine]) -> None:
    pool = pool_of("c")
    with caching_engine(pool) as engine:
        async with front(fake_fleet(pool), [await announced(engine)]) as gateway:
            await settled(gateway)
            await gateway.ask(prompt=prompt(1))
            index = gateway.server.state.directory.models[0].router.index
            await until(lambda: index.keys > 0)
            with caching_engine(pool) as second:
                gateway.server.update([await announced(second, incarnation="again")])
                assert index.keys == 0, "a new incarnation holds nothing"
                await settled(gateway)
                await gateway.ask(prompt=prompt(1))


async def test_two_gateways_see_each_others_bookings(cached_engines: tuple[Engine, Engine]) -> None:
    a, b = cached_engines
    fleet = fake_fleet(a.pool, b.pool)
    replicas = [a.announced(), b.announced()]
    async with front(fleet, replicas) as one, front(fleet, replicas) as two:
        syncs = [
            PeerSync(gateway.server.state.directory, {}, "127.0.0.1", gateway.server.state.secrets)
            for gateway in (one, two)
        ]
        for peer_sync in syncs:
            await peer_sync.start()
        for peer_sync in syncs:
            peer_sync.connect([e.endpoint for e in syncs])
        try:
            await asyncio.sleep(0.2)
            long_one = asyncio.create_task(one.ask(prompt="x", max_tokens=300))
            table = two.server.state.directory.models[0].router.table
            await until(lambda: table.others_open.sum() == 1)
            await long_one
            await until(lambda: not (table.others_open.any() or table.others_work.any()))
            burst = await asyncio.gather(*[g.ask(prompt=prompt(5000 + n, 300)) for n in range(20) for g in (one, two)])
            assert Counter(status for status, _, _ in burst) == {200: 40}
        finally:
            for peer_sync in syncs:
                await peer_sync.stop()


async def test_a_killed_engines_claims_are_believed_no_longer_than_a_second() -> None:
    pool = pool_of("k")
    port = free_port(HOST)
    command = backend("fake").command(fake_spec(pool), HOST, port)
    url = f"http://{HOST}:{port}"
    with process(command, f"{url}/health") as running, reported(Engine(url, pool)) as engine:
        async with front(fake_fleet(pool), [await announced(engine)]) as gateway:
            await settled(gateway)
            await gateway.ask(prompt=prompt(1))
            router = gateway.server.state.directory.models[0].router
            (replica,) = router.replicas.values()
            await until(lambda: router.index.keys > 0)
            assert router.table.trust[replica.row] == 1.0
            running.kill()
            await until(lambda: router.table.trust[replica.row] == 0.0, timeout_s=1.0)


async def test_missed_events_are_asked_for_again(empty_engine: Engine) -> None:
    a = empty_engine
    async with routed(a) as gateway:
        await settled(gateway)
        router = gateway.server.state.directory.models[0].router
        await a.fault(drop_events=1000)
        try:
            for number in range(30):
                await gateway.ask(prompt=prompt(7000 + number, words=100), max_tokens=40)
        finally:
            await a.reset()
        await gateway.ask(prompt=prompt(8000), max_tokens=2)
        # A feed is exact also before it has noticed that something is missing.
        await until(lambda: router.index.keys >= 30 * 4)
        await settled(gateway)
        status, body, _ = await gateway.ask(prompt=prompt(7000, words=100), max_tokens=1)
        assert status == 200
        decision = gateway.server.state.directory.models[0].decisions[-1]
        found = body["usage"]["prompt_tokens_details"]["cached_tokens"]
        assert found > decision.cached_tokens[0] == found - found % KEY_TOKENS


async def test_a_gateway_that_starts_late_learns_what_engines_hold(cached_engines: tuple[Engine, Engine]) -> None:
    a, b = cached_engines
    async with routed(a, b) as gateway:
        for _ in range(2):
            await gateway.ask(prompt=prompt(9000))
        homes = {(await gateway.ask(prompt=prompt(9000)))[2].headers["x-replica"]}
    async with routed(a, b) as restarted:
        _, body, answer = await restarted.ask(prompt=prompt(9000))
        assert {answer.headers["x-replica"]} == homes
        decision = restarted.server.state.directory.models[0].decisions[-1]
        found = body["usage"]["prompt_tokens_details"]["cached_tokens"]
        assert decision.cached_tokens[decision.chosen] == found - found % KEY_TOKENS > 0
