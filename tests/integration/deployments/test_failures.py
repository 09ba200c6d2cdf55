"""Replicas that fail: before the first byte another answers; after it the client is told, and never cut silently."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.support.front import Engine, Front, front
from tests.support.processes import fake_engine, fake_fleet, fake_pool

NOBODY = "http://127.0.0.1:9"
"""Refuses every connection."""


@pytest.fixture
def mortal() -> Iterator[Engine]:
    """An engine for one test, which may kill it."""
    pool = fake_pool("mortal", decode_step_s=0.002)
    with fake_engine(pool) as url:
        yield Engine(url, pool)


async def test_a_dead_replica_costs_a_retry_and_then_nothing(engines: tuple[Engine, Engine]) -> None:
    a, b = engines
    fleet = fake_fleet(a.pool, b.pool, policy="round-robin")
    async with front(fleet, [Engine(NOBODY, a.pool).announced(), b.announced()]) as gateway:
        for _ in range(10):
            status, _, answer = await gateway.ask()
            assert (status, answer.headers["x-pool"]) == (200, "b")
        metrics = gateway.server.state.metrics.render().decode()
        retries = [line for line in metrics.splitlines() if line.startswith("gateway_retries_total{")]
        assert retries == ['gateway_retries_total{model="m",pool="a"} 1.0'], "passed over while it is ejected"


@pytest.mark.parametrize("fault", [{"fail_next": 1}, {"fail_next": 1, "status": 503}, {"cut_after_tokens": 0}])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_before_the_first_byte_is_answered_elsewhere(
    engines: tuple[Engine, Engine], fault: dict[str, int], stream: bool
) -> None:
    a, b = engines
    async with front(fake_fleet(a.pool, b.pool, policy="round-robin"), [a.announced(), b.announced()]) as gateway:
        await a.fault(**fault)
        async with gateway.session.post(
            "/v1/completions", json={"model": "m", "prompt": "x", "max_tokens": 4, "stream": stream}
        ) as answer:
            assert (answer.status, answer.headers["x-pool"]) == (200, "b")
            raw = await answer.read()
        assert raw.endswith(b"data: [DONE]\n\n") if stream else json.loads(raw)["usage"]["completion_tokens"] == 4


async def test_an_answer_cut_in_the_middle_that_is_no_stream_is_asked_again(engines: tuple[Engine, Engine]) -> None:
    a, b = engines
    async with front(fake_fleet(a.pool, b.pool, policy="round-robin"), [a.announced(), b.announced()]) as gateway:
        await a.fault(cut_after_tokens=2)
        status, _, answer = await gateway.ask()
        assert (status, answer.headers["x-pool"]) == (200, "b")


async def test_an_upload_is_sent_again_whole(speech_engine: Engine) -> None:
    from tests.support.http import recording

    await speech_engine.reset()
    dead = Engine(NOBODY, fake_pool("dead"), speech_engine.task)
    fleet = fake_fleet(dead.pool, speech_engine.pool, task=speech_engine.task, policy="round-robin")
    async with front(fleet, [dead.announced(), speech_engine.announced()]) as gateway:
        form = aiohttp.FormData({"model": "m", "response_format": "verbose_json"})
        form.add_field("file", recording(60), filename="a.wav")
        async with gateway.session.post("/v1/audio/transcriptions", data=form) as answer:
            assert answer.status == 200
            assert (await answer.json())["duration"] == 60


async def test_where_all_fail_the_last_one_is_believed(two: Front, engines: tuple[Engine, Engine]) -> None:
    for engine in engines:
        await engine.fault(fail_next=1, status=500)
    status, body, answer = await two.ask()
    assert (status, body["error"]["type"]) == (500, "server_error")
    assert body["error"]["message"] == "the engine failed with status 500; send the request again"
    assert "x-replica" in answer.headers
    assert (await two.ask())[0] == 200


async def test_where_nobody_can_be_reached_the_client_is_told_within_the_queues_timeout(
    engines: tuple[Engine, Engine],
) -> None:
    pool = engines[0].pool
    replicas = [Engine(f"http://127.0.0.1:{port}", pool).announced() for port in (9, 11)]
    async with front(fake_fleet(pool, attempts=2, queue_timeout_s=2), replicas) as gateway:
        started = time.monotonic()
        status, body, answer = await gateway.ask()
        assert status == 503
        assert body["error"]["code"] in {"replicas_failed", "no_replica"}, "whichever comes first"
        assert int(answer.headers["Retry-After"]) >= 1
        assert time.monotonic() - started < 10


async def test_a_replica_that_drops_one_request_gets_it_again_where_it_is_the_only_one(
    engines: tuple[Engine, Engine],
) -> None:
    """As when the engine closes a kept-alive connection at the moment that the gateway uses it."""
    a, _ = engines
    async with front(fake_fleet(a.pool), [a.announced()]) as gateway:
        await a.fault(cut_after_tokens=0)
        started = time.monotonic()
        assert (await gateway.ask())[0] == 200
        assert time.monotonic() - started < 10


async def test_a_clients_own_mistake_is_not_tried_elsewhere(two: Front, engines: tuple[Engine, Engine]) -> None:
    status, _, _ = await two.ask(max_tokens=-1)
    assert status == 400
    assert "gateway_retries_total{" not in two.server.state.metrics.render().decode()


def frames_of(raw: bytes) -> list[Any]:
    assert raw.endswith(b"\n\n")
    return [json.loads(frame.removeprefix(b"data: ")) for frame in raw[:-2].split(b"\n\n") if b"[DONE]" not in frame]


@pytest.mark.parametrize("tokens", [1, 3, 50])
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
async def test_a_stream_that_is_cut_ends_with_an_error_event(
    engines: tuple[Engine, Engine], tokens: int, path: str
) -> None:
    """Where no other replica is to continue it."""
    a, _ = engines
    async with front(fake_fleet(a.pool, resume=False), [a.announced()]) as gateway:
        await a.fault(cut_after_tokens=tokens)
        raw = await gateway.stream(path, messages=[{"role": "user", "content": "x"}], max_tokens=100, ignore_eos=True)
        *_, last = frames_of(raw)
        assert last["error"]["code"] == "replica_failed"
        assert "send the request again" in last["error"]["message"]
        assert b"[DONE]" not in raw
        assert raw.count(b'"choices"') >= tokens
        assert 'gateway_cut_streams_total{model="m"} 1.0' in gateway.server.state.metrics.render().decode()


async def test_a_replica_killed_in_mid_stream(mortal: Engine) -> None:
    async with front(fake_fleet(mortal.pool, resume=False), [mortal.announced()]) as gateway:
        await mortal.fault(die_after_tokens=5)
        *tokens, last = frames_of(await gateway.stream(max_tokens=100))
        assert len(tokens) == 5
        assert last["error"]["type"] == "server_error"


async def test_a_killed_replica_is_replaced_by_its_next_incarnation(
    mortal: Engine, engines: tuple[Engine, Engine]
) -> None:
    old = mortal.announced(replica="m@p#1", incarnation="first")
    async with front(fake_fleet(mortal.pool, queue_timeout_s=10), [old]) as gateway:
        assert (await gateway.ask())[0] == 200
        await mortal.fault(die_after_tokens=0)
        waiting = asyncio.create_task(gateway.ask())
        await asyncio.sleep(0.3)
        assert not waiting.done(), "there is nobody else to ask"
        gateway.server.state.directory.update([])
        await asyncio.sleep(0.1)
        assert not waiting.done()
        gateway.server.state.directory.update([engines[0].announced(replica="m@p#1", incarnation="second")])
        status, _, answer = await waiting
        assert (status, answer.headers["x-replica"]) == (200, "m@p#1")
        assert (await gateway.ask())[0] == 200


async def test_a_stream_whose_replica_stalls_is_given_up_before_its_first_byte(engines: tuple[Engine, Engine]) -> None:
    a, b = engines
    fleet = fake_fleet(a.pool, b.pool, policy="round-robin", read_timeout_s=0.5)
    async with front(fleet, [a.announced(), b.announced()]) as gateway:
        await a.fault(stall_s=3)
        body = {"model": "m", "prompt": "x", "max_tokens": 4, "stream": True}
        async with gateway.session.post("/v1/completions", json=body) as answer:
            assert (answer.status, answer.headers["x-pool"]) == (200, "b")
            assert (await answer.read()).endswith(b"data: [DONE]\n\n")


async def test_a_stream_that_stalls_ends_with_an_error_event(engines: tuple[Engine, Engine]) -> None:
    a, _ = engines
    async with front(fake_fleet(a.pool, read_timeout_s=0.5, resume=False), [a.announced()]) as gateway:
        streaming = asyncio.create_task(gateway.stream(max_tokens=3000))
        await a.until(running=1)
        await asyncio.sleep(0.05)
        await a.fault(hang=True)
        *_, last = frames_of(await streaming)
        assert last["error"]["code"] == "replica_failed"


async def test_a_replica_that_leaves_finishes_its_stream(two: Front, engines: tuple[Engine, Engine]) -> None:
    tokens = 1000
    streams = [asyncio.create_task(two.stream(max_tokens=tokens)) for _ in range(4)]
    async with asyncio.timeout(10):
        while sum(running := [(await engine.stats())["running"] for engine in engines]) < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert running[0] > 0
    two.server.state.directory.update([engines[1].announced()])
    assert (await two.ask())[2].headers["x-pool"] == "b"
    for raw in await asyncio.gather(*streams):
        assert raw.endswith(b"data: [DONE]\n\n")
        assert len(frames_of(raw)) == tokens


async def test_every_request_gets_exactly_one_answer_whatever_fails(engines: tuple[Engine, Engine]) -> None:
    """Conservation: answers = requests, and the engines finished or aborted all that they accepted."""
    chance = random.Random(11)
    a, b = engines
    before = [await engine.stats() for engine in engines]

    async def one(gateway: Front, number: int) -> str:
        await asyncio.sleep(chance.random() * 0.8)
        stream = number % 2 == 0
        body = {"model": "m", "prompt": f"number {number}", "max_tokens": 1 + number % 20, "stream": stream}
        async with gateway.session.post("/v1/completions", json=body) as answer:
            raw = await answer.read()
        if answer.status != 200:
            assert json.loads(raw)["error"]["message"]
            return "error"
        if not stream:
            assert json.loads(raw)["usage"]["completion_tokens"] == 1 + number % 20
            return "whole"
        assert raw.endswith(b"data: [DONE]\n\n")
        assert len(frames_of(raw)) == 1 + number % 20, "no token lost, none doubled"
        return "whole"

    async def trouble() -> None:
        for _ in range(12):
            await asyncio.sleep(0.06)
            fault = chance.choice([{"fail_next": 3}, {"cut_after_tokens": 3}, {"cut_after_tokens": 0}, {"slow": 3}])
            await chance.choice(engines).fault(**fault)

    async with front(fake_fleet(a.pool, b.pool), [a.announced(), b.announced()]) as gateway:
        troubling = asyncio.create_task(trouble())
        outcomes = Counter(await asyncio.gather(*[one(gateway, number) for number in range(200)]))
        await troubling
        assert sum(outcomes.values()) == 200
        assert outcomes["whole"] >= 170
        counted = sum(
            float(line.rsplit(" ", 1)[1])
            for line in gateway.server.state.metrics.render().decode().splitlines()
            if line.startswith("gateway_requests_total{")
        )
        assert counted == 200
    for engine, earlier in zip(engines, before, strict=True):
        stats = await engine.until(running=0, waiting=0, blocks_in_use=0)
        assert stats["accepted"] - earlier["accepted"] > 20
        assert stats["accepted"] == stats["finished"] + stats["aborted"]
