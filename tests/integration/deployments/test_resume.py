"""Streams whose replica fails in the middle: another continues them, and their clients see no seam."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest

from tests.support.front import Engine, front
from tests.support.processes import fake_engine, fake_fleet, fake_pool
from tests.support.relay import relay

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
USAGE = {"stream_options": {"include_usage": True}}


def frames_of(raw: bytes) -> list[Any]:
    assert raw.endswith(b"data: [DONE]\n\n"), raw[-500:]
    return [json.loads(frame.removeprefix(b"data: ")) for frame in raw.split(b"\n\n")[:-2]]


def without_names(frames: list[Any]) -> list[Any]:
    """What two streams of one request have in common: all but their ids, times, and what was found in a cache."""
    bare = []
    for frame in frames:
        kept = {name: value for name, value in frame.items() if name not in ("id", "created")}
        if kept.get("usage"):
            kept["usage"] = {name: value for name, value in kept["usage"].items() if "details" not in name}
        bare.append(kept)
    return bare


@pytest.fixture
def mortal() -> Iterator[Engine]:
    pool = fake_pool("mortal", decode_step_s=0.002)
    with fake_engine(pool) as url:
        yield Engine(url, pool)


@pytest.mark.parametrize(("cut", "resumed"), [(0, 0), (1, 2), (2, 2), (7, 2), (15, 1), (16, 0)])
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (CHAT, HELLO),
        (CHAT, {**HELLO, **USAGE}),
        (CHAT, {**HELLO, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}),
        (CHAT, {**HELLO, "max_tokens": None, "max_completion_tokens": 16}),
        (CHAT, {**HELLO, "return_token_ids": True}),
        (COMPLETIONS, {"max_tokens": 16}),
        (COMPLETIONS, {"max_tokens": None, **USAGE}),
        (COMPLETIONS, {"max_tokens": 16, "return_token_ids": True, **USAGE}),
    ],
)
async def test_a_stream_that_is_cut_goes_on_elsewhere_as_if_nothing_had_happened(
    engines: tuple[Engine, Engine], path: str, fields: dict[str, Any], cut: int, resumed: int
) -> None:
    """Both engines cut their first answer, if it comes so far; after the last token only the end is missing."""
    a, b = engines
    fleet = fake_fleet(a.pool, b.pool, policy="round-robin")
    async with front(fleet, [a.announced(), b.announced()]) as gateway:
        asked = {"max_tokens": 16, "ignore_eos": True, **fields}
        undisturbed = await gateway.stream(path, **asked)
        for engine in engines:
            await engine.fault(cut_after_tokens=cut)
        raw = await gateway.stream(path, **asked)
        frames = frames_of(raw)
        assert without_names(frames) == without_names(frames_of(undisturbed))
        assert len({(frame["id"], frame["created"]) for frame in frames}) == 1
        assert (b'"token_ids":[' in raw) == ("return_token_ids" in fields)
        metrics = gateway.server.state.metrics.render().decode()
        counted = [line for line in metrics.splitlines() if line.startswith("gateway_resumed_streams_total{")]
        assert counted == ([f'gateway_resumed_streams_total{{model="m"}} {resumed:.1f}'] if resumed else [])


@pytest.mark.parametrize("fields", [{"return_token_ids": True}, {"stop": ["never said"]}], ids=["followed", "not"])
async def test_a_connection_that_breaks_after_the_streams_own_end_has_lost_nothing(
    engines: tuple[Engine, Engine], fields: dict[str, Any]
) -> None:
    a, _ = engines
    async with relay(a.url) as way:
        announced = replace(a.announced(), url=way.url, incarnation=way.url)
        async with front(fake_fleet(a.pool), [announced]) as gateway:
            asked = {"max_tokens": 16, "ignore_eos": True, **HELLO, **USAGE, **fields}
            undisturbed = await gateway.stream(CHAT, **asked)
            way.cut_after = [undisturbed.count(b"\n\n")]
            raw = await gateway.stream(CHAT, **asked)
            assert way.cut_after == []
            assert without_names(frames_of(raw)) == without_names(frames_of(undisturbed))


async def test_a_killed_replicas_streams_go_on(mortal: Engine, engines: tuple[Engine, Engine]) -> None:
    """All at once, on a replica of the other vendor, and by OpenAI's own client."""
    b = engines[1]
    fleet = fake_fleet(mortal.pool, b.pool, policy="round-robin")
    async with front(fleet, [mortal.announced(), b.announced()]) as gateway:
        client = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)

        async def said(number: int) -> tuple[str, str | None, int]:
            text, reason, tokens = "", None, 0
            stream = await client.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": f"number {number}"}],
                max_completion_tokens=40,
                stream=True,
                stream_options={"include_usage": True},
                extra_body={"ignore_eos": True},
            )
            async for chunk in stream:
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    reason = choice.finish_reason or reason
                tokens = chunk.usage.completion_tokens if chunk.usage else tokens
            return text, reason, tokens

        undisturbed = await asyncio.gather(*[said(number) for number in range(12)])
        await mortal.fault(die_after_tokens=20)
        assert await asyncio.gather(*[said(number) for number in range(12)]) == undisturbed
        await client.close()


async def test_the_only_replicas_stream_goes_on_at_its_next_incarnation(
    mortal: Engine, engines: tuple[Engine, Engine]
) -> None:
    old = mortal.announced(replica="m@p#1", incarnation="first")
    async with front(fake_fleet(mortal.pool, queue_timeout_s=10), [old]) as gateway:
        undisturbed = await gateway.stream(CHAT, **HELLO, max_tokens=16, ignore_eos=True)
        await mortal.fault(die_after_tokens=5)
        streaming = asyncio.create_task(gateway.stream(CHAT, **HELLO, max_tokens=16, ignore_eos=True))
        await asyncio.sleep(0.5)
        assert not streaming.done(), "there is nobody else to go on"
        gateway.server.state.directory.update([engines[0].announced(replica="m@p#1", incarnation="second")])
        assert without_names(frames_of(await streaming)) == without_names(frames_of(undisturbed))


async def test_where_nobody_is_left_the_client_is_told(mortal: Engine) -> None:
    async with front(fake_fleet(mortal.pool, queue_timeout_s=1), [mortal.announced()]) as gateway:
        await mortal.fault(die_after_tokens=5)
        raw = await gateway.stream(max_tokens=16)
        last = json.loads(raw.split(b"\n\n")[-2].removeprefix(b"data: "))
        assert last["error"]["code"] == "replica_failed"
        assert raw.count(b'"choices"') == 5


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"seed": 7, "temperature": 0.5}, "`seed`"),
        ({"logprobs": 1}, "`logprobs`"),
        ({"stop": ["x"]}, "`stop`"),
        ({"presence_penalty": 0.5}, "`presence_penalty`"),
        ({"response_format": {"type": "json_object"}}, "`response_format`"),
        ({"thinking_token_budget": 5}, "`thinking_token_budget`"),
        ({"prompt": ["one", "two"]}, "several prompts"),
    ],
)
async def test_what_cannot_be_continued_exactly_ends_with_an_error_that_says_why(
    engines: tuple[Engine, Engine], fields: dict[str, Any], why: str
) -> None:
    a, b = engines
    async with front(fake_fleet(a.pool, b.pool), [a.announced(), b.announced()]) as gateway:
        for engine in engines:
            await engine.fault(cut_after_tokens=5)
        raw = await gateway.stream(max_tokens=16, **fields)
        last = json.loads(raw.split(b"\n\n")[-2].removeprefix(b"data: "))
        assert last["error"]["code"] == "replica_failed"
        assert why in last["error"]["message"]


async def test_a_stream_that_stalls_goes_on_elsewhere(engines: tuple[Engine, Engine]) -> None:
    a, b = engines
    fleet = fake_fleet(a.pool, b.pool, policy="round-robin", read_timeout_s=0.5)
    async with front(fleet, [a.announced(), b.announced()]) as gateway:
        undisturbed = await gateway.stream(max_tokens=300)
        assert (await gateway.ask())[2].headers["x-pool"] == "b"
        streaming = asyncio.create_task(gateway.stream(max_tokens=300))
        await a.until(running=1)
        await a.fault(hang=True)
        assert without_names(frames_of(await streaming)) == without_names(frames_of(undisturbed))
        await a.fault(hang=False)


async def test_a_client_that_leaves_while_its_stream_moves_leaves_nothing_behind(
    mortal: Engine, engines: tuple[Engine, Engine]
) -> None:
    async with front(fake_fleet(mortal.pool, queue_timeout_s=10), [mortal.announced()]) as gateway:
        await mortal.fault(die_after_tokens=5)
        streaming = asyncio.create_task(gateway.stream(max_tokens=16))
        await asyncio.sleep(0.5)
        streaming.cancel()
        await gateway.idle()
