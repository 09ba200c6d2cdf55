"""Retries, time limits and ejection: what one request may cost, and what one replica may break."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import openai
import pytest
from aiohttp import web

from deployments.gateway.proxy.recovery import outlier_ejection, replica_watch
from deployments.gateway.proxy.recovery.outlier_ejection import CONSECUTIVE
from tests.support.front import Engine, Front, front, until
from tests.support.processes import fake_engine, fake_fleet, fake_pool
from tests.support.stub_engine import sse, stub_engine

COMPLETIONS = "/v1/completions"
REFUSAL = json.dumps(
    {
        "error": {
            "message": "token_id(s) [99999999] in logit_bias contain out-of-vocab token ids. Vocabulary size: 32000",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        }
    }
).encode()
BROKEN = REFUSAL.replace(b'"code": 400', b'"code": 500')
TOKEN = b'{"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [{"index": 0, "text": "a "}]}'


def metric(gateway: Front, name: str) -> float:
    """The sum of a metric over its labels."""
    lines = gateway.server.state.metrics.render().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


@pytest.mark.parametrize("route", [COMPLETIONS, "/v1/chat/completions"])
@pytest.mark.parametrize("replicas", [1, 3])
async def test_an_invalid_stream_is_refused_at_once_without_retry_or_ejection(route: str, replicas: int) -> None:
    """As vLLM refuses an unknown token in `logit_bias`: a 200 stream whose first event is the error."""
    calls = 0

    async def refuse(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        return await sse(request, REFUSAL, b"[DONE]")

    pool = fake_pool()
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(stub_engine(refuse)) for _ in range(replicas)]
        gateway = await stack.enter_async_context(
            front(fake_fleet(pool), [Engine(url, pool).announced() for url in urls])
        )
        messages = [{"role": "user", "content": "x"}]
        status, body, _ = await gateway.ask(route, messages=messages, stream=True, logit_bias={"99999999": 1})
        assert (status, body["error"]["type"]) == (400, "invalid_request_error")
        assert "logit_bias" in body["error"]["message"]
        assert calls == 1
        assert metric(gateway, "gateway_ejected_replicas") == metric(gateway, "gateway_retries_total") == 0
        client = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="x", max_retries=0)
        with pytest.raises(openai.BadRequestError):
            await client.completions.create(model="m", prompt="x", stream=True)
        await client.close()


async def test_an_error_of_the_engines_own_as_first_event_is_tried_elsewhere_within_the_budget() -> None:
    calls = 0

    async def fail(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        return await sse(request, BROKEN)

    pool = fake_pool()
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(stub_engine(fail)) for _ in range(5)]
        gateway = await stack.enter_async_context(
            front(fake_fleet(pool, attempts=3), [Engine(url, pool).announced() for url in urls])
        )
        status, body, _ = await gateway.ask(stream=True)
        assert (status, body["error"]["type"]) == (500, "server_error")
        assert calls == 3
        assert metric(gateway, "gateway_ejected_replicas") == 0, "what all of them fail is the request's own fault"


async def test_a_long_whole_answer_is_ended_once_with_504_and_not_tried_again(engines: tuple[Engine, Engine]) -> None:
    a, b = engines
    before = [(await engine.stats())["accepted"] for engine in engines]
    async with front(fake_fleet(a.pool, b.pool, read_timeout_s=0.4), [a.announced(), b.announced()]) as gateway:
        status, body, answer = await gateway.ask(max_tokens=5000)
        assert (status, body["error"]["code"]) == (504, "timeout")
        assert answer.headers["x-should-retry"] == "false"
        for engine in engines:
            await engine.until(running=0)
        after = [(await engine.stats())["accepted"] for engine in engines]
        assert sum(after) == sum(before) + 1
        assert metric(gateway, "gateway_time_limits_total") == 1
        assert metric(gateway, "gateway_ejected_replicas") == 0


async def test_a_stream_that_never_ends_is_ended_by_its_whole_time(engines: tuple[Engine, Engine]) -> None:
    a, b = engines
    limits: Any = {"routes": {COMPLETIONS: {"stream": {"whole_s": 0.5}}}}
    async with front(fake_fleet(a.pool, b.pool, time_limits=limits), [a.announced(), b.announced()]) as gateway:
        raw = await gateway.stream(max_tokens=100_000)
        assert b"was not whole within 0.5 s" in raw.split(b"\n\n")[-2]
        for engine in engines:
            await engine.until(running=0)
        assert metric(gateway, "gateway_resumed_streams_total") == 0


async def test_a_replica_that_answers_500_to_everything_gets_no_more_than_its_probes(
    engines: tuple[Engine, Engine],
) -> None:
    calls = 0

    async def fail(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        return web.json_response({"error": {"message": "broken"}}, status=500)

    good = engines[0]
    async with stub_engine(fail) as url:
        bad = Engine(url, fake_pool("bad"))
        async with front(fake_fleet(bad.pool, good.pool), [bad.announced(), good.announced()]) as gateway:
            started = time.monotonic()
            for _ in range(60):
                status, _, answer = await gateway.ask()
                assert (status, answer.headers["x-pool"]) == (200, "a")
            probes = 1 + int((time.monotonic() - started) / 2)
            assert calls <= CONSECUTIVE + probes
            assert metric(gateway, "gateway_ejections_total") >= 1
            assert metric(gateway, "gateway_ejected_replicas") == 1


async def test_a_request_that_ends_its_engine_costs_at_most_two_of_them(caplog: pytest.LogCaptureFixture) -> None:
    for stream in (False, True):
        pools = [fake_pool(f"p{n}", decode_step_s=0.002) for n in range(4)]
        with (
            fake_engine(pools[0]) as u0,
            fake_engine(pools[1]) as u1,
            fake_engine(pools[2]) as u2,
            fake_engine(pools[3]) as u3,
        ):
            mortals = [Engine(url, pool) for url, pool in zip((u0, u1, u2, u3), pools, strict=True)]
            fleet = fake_fleet(*pools, attempts=10)
            async with front(fleet, [engine.announced() for engine in mortals]) as gateway:
                for engine in mortals:
                    await engine.fault(die_after_tokens=3)
                headers = {"X-Request-Id": f"poison-{stream}"}
                body = {"model": "m", "prompt": "x", "max_tokens": 50, "stream": stream}
                async with asyncio.timeout(20):
                    async with gateway.session.post(COMPLETIONS, json=body, headers=headers) as answer:
                        raw = await answer.read()
                assert b'"engines_died"' in raw or b"two engines died" in raw
                assert answer.status == (200 if stream else 500)
                assert f"poison-{stream}" in caplog.text
                alive = [engine for engine in mortals if await _lives(engine)]
                assert len(alive) == 2


async def _lives(engine: Engine) -> bool:
    try:
        await engine.stats()
    except OSError:
        return False
    return True


@pytest.fixture
def soon_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent engine is checked, and given up, within half a second."""
    for name, seconds in (("CHECK_AFTER_S", 0.1), ("CHECK_S", 0.2), ("FROZEN_AFTER_S", 0.4), ("TICK_S", 0.05)):
        monkeypatch.setattr(replica_watch, name, seconds)


@pytest.mark.usefixtures("soon_frozen")
async def test_a_frozen_engine_is_given_up_by_its_health_check_and_another_answers(
    engines: tuple[Engine, Engine],
) -> None:
    a, b = engines
    async with front(fake_fleet(a.pool, b.pool, policy="round-robin"), [a.announced(), b.announced()]) as gateway:
        await a.fault(hang=True)
        started = time.monotonic()
        status, _, answer = await gateway.ask()
        assert (status, answer.headers["x-pool"]) == (200, "b")
        assert time.monotonic() - started < 10, "and not the 600 s of a whole answer"
        assert metric(gateway, "gateway_ejected_replicas") == 1
        await a.fault(hang=False)


@pytest.mark.usefixtures("soon_frozen")
async def test_a_frozen_engine_that_was_ejected_holds_no_further_request_and_comes_back_once_it_answers(
    engines: tuple[Engine, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlier_ejection, "FIRST_EJECTION_S", 0.05)
    monkeypatch.setattr(outlier_ejection, "MOST_EJECTION_S", 0.2)
    a, b = engines
    async with front(fake_fleet(a.pool, b.pool, policy="round-robin"), [a.announced(), b.announced()]) as gateway:
        await a.fault(hang=True)
        await gateway.ask()
        monkeypatch.setattr(replica_watch, "FROZEN_AFTER_S", 30.0)
        async with asyncio.timeout(20):  # the first probe that is sent there waits for longer
            for _ in range(10):
                status, _, answer = await gateway.ask()
                assert (status, answer.headers["x-pool"]) == (200, "b")
                await asyncio.sleep(0.1)
        assert metric(gateway, "gateway_ejections_total") > 1, "probes have failed meanwhile"
        await a.fault(hang=False)
        async with asyncio.timeout(20):
            while (await gateway.ask())[2].headers["x-pool"] != "a":  # noqa: ASYNC110  # another server's state
                await asyncio.sleep(0.05)


async def test_an_engine_that_is_merely_slow_is_not_taken_for_frozen(
    engines: tuple[Engine, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("CHECK_AFTER_S", 0.05), ("FROZEN_AFTER_S", 0.1), ("TICK_S", 0.02)):
        monkeypatch.setattr(replica_watch, name, seconds)
    a, b = engines
    async with front(fake_fleet(a.pool, b.pool, policy="round-robin"), [a.announced(), b.announced()]) as gateway:
        await a.fault(stall_s=1)
        status, _, answer = await gateway.ask()
        assert (status, answer.headers["x-pool"]) == (200, "a")


async def test_retries_of_errors_end_where_the_retry_budget_does() -> None:
    """Two engines that answer 503 to everything, and 40 requests at once."""
    calls: Counter[str] = Counter()

    async def overloaded(request: web.Request) -> web.StreamResponse:
        calls[request.host] += 1
        await asyncio.sleep(0.3)
        return web.json_response({"error": {"message": "overloaded"}}, status=503)

    pool = fake_pool()
    async with stub_engine(overloaded) as one, stub_engine(overloaded) as two:
        fleet = fake_fleet(pool, retry_share=0.2)
        async with front(fleet, [Engine(url, pool).announced() for url in (one, two)]) as gateway:
            answers = await asyncio.gather(*[gateway.ask() for _ in range(40)])
            assert {status for status, _, _ in answers} == {503}
            assert sum(calls.values()) <= 40 + 8
            assert metric(gateway, "gateway_retry_budget_exhausted_total") >= 32


async def test_a_stream_that_waits_gets_comments_which_the_sdk_ignores() -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for pause_s, frame in ((0.35, TOKEN), (0.35, TOKEN), (0.0, b"[DONE]")):
            await asyncio.sleep(pause_s)
            await response.write(b"data: " + frame + b"\n\n")
        await response.write_eof()
        return response

    pool = fake_pool()
    async with stub_engine(slow) as url:
        fleet = fake_fleet(pool, comment_after_s=0.1, resume=False)
        async with front(fleet, [Engine(url, pool).announced()]) as gateway:
            raw = await gateway.stream()
            assert raw.startswith(b": keep-alive\n\n"), "before the first byte too"
            assert 2 <= raw.split(TOKEN)[0].count(b": keep-alive\n\n") <= 3
            assert raw.split(TOKEN)[1].count(b": keep-alive\n\n") >= 2
            assert raw.endswith(b"data: [DONE]\n\n")
            client = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="x", max_retries=0)
            stream = await client.completions.create(model="m", prompt="x", stream=True)
            assert [chunk.choices[0].text async for chunk in stream] == ["a ", "a "]
            await client.close()


async def test_a_refusal_after_comments_is_an_error_event() -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await asyncio.sleep(0.3)
        await response.write(b"data: " + REFUSAL + b"\n\n")
        return response

    pool = fake_pool()
    fleet = fake_fleet(pool, comment_after_s=0.1)
    async with stub_engine(slow) as url, front(fleet, [Engine(url, pool).announced()]) as gateway:
        raw = await gateway.stream()
        error = json.loads(raw.split(b"\n\n")[-2].removeprefix(b"data: "))["error"]
        assert error["type"] == "invalid_request_error"
        assert "logit_bias" in error["message"]


async def test_the_work_of_every_prompt_ends_within_a_second_of_its_client_leaving(
    engines: tuple[Engine, Engine],
) -> None:
    """A completion of 300 prompts, whole or streamed."""
    a, _ = engines
    async with front(fake_fleet(a.pool), [a.announced()]) as gateway:
        table = gateway.server.state.directory.models[0].router.table
        for stream in (False, True):
            body = {"model": "m", "prompt": ["a"] * 300, "max_tokens": 1000, "stream": stream, "ignore_eos": True}
            leaving = asyncio.create_task(gateway.session.post(COMPLETIONS, json=body))
            await a.until(running=64)
            assert int(table.open_requests.sum()) == 300
            if stream:
                (await leaving).close()
            else:
                leaving.cancel()
            await a.until(timeout_s=1, running=0, waiting=0)
            await until(lambda: not table.open_requests.any())
            assert (await gateway.ask())[0] == 200
