"""Streams of real engines that break off and are continued: token for token what an undisturbed run says."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from cluster.loading import load_fleet
from deployments.replica_info import ReplicaInfo
from tests.e2e.embedded.conftest import RunningFleet
from tests.support.front import Front, front
from tests.support.relay import Relay, relay

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
SUM = [{"role": "user", "content": "What is 27 + 58?"}]
WORDS = [{"role": "user", "content": "Grüße! 日本語 🙂🏽 What is this? " * 3}]
USAGE = {"stream_options": {"include_usage": True}}
LONG = {"ignore_eos": True, "max_tokens": 120}


@asynccontextmanager
async def broken(fleet: RunningFleet, model: str) -> AsyncIterator[tuple[Front, Relay, Relay]]:
    """A gateway over two ways to the model's one engine, which break as if they were two replicas that die."""
    announced = ReplicaInfo.from_dict(fleet.replicas(model)[0])
    content = load_fleet("embedded").model_dump(mode="json")
    content["gateway"] |= {"port": 0, "policy": "round-robin", "attempts": 6}
    content["models"] = [one for one in content["models"] if one["name"] == model]
    file = type(load_fleet("embedded")).model_validate(content)
    async with relay(announced.url) as one, relay(announced.url) as other:
        ways = [
            replace(announced, url=way.url, incarnation=way.url, replica=f"{model}@cpu#{name}", cache_reports=None)
            for name, way in (("one", one), ("other", other))
        ]
        async with front(file, ways) as gateway:
            async with asyncio.timeout(60):
                while gateway.server.state.unready():  # noqa: ASYNC110  # another's state
                    await asyncio.sleep(0.1)
            yield gateway, one, other


def told(raw: bytes) -> dict[str, Any]:
    """What a client makes of a stream: its text, reasoning, ids, end and usage."""
    assert raw.endswith(b"data: [DONE]\n\n"), raw[-600:]
    told: dict[str, Any] = {"content": "", "reasoning": "", "ids": [], "reason": None, "usage": None, "stops": []}
    for frame in raw.split(b"\n\n")[:-2]:
        chunk = json.loads(frame.removeprefix(b"data: "))
        for choice in chunk["choices"]:
            delta = choice.get("delta", {})
            told["content"] += choice.get("text") or delta.get("content") or ""
            told["reasoning"] += delta.get("reasoning") or ""
            told["ids"] += choice.get("token_ids") or []
            told["reason"] = choice["finish_reason"] or told["reason"]
            told["stops"] += [choice["stop_reason"]] if choice.get("stop_reason") else []
        if usage := chunk.get("usage"):
            told["usage"] = {name: value for name, value in usage.items() if name != "prompt_tokens_details"}
    return told


CASES = [
    ("gpt-oss", CHAT, {"messages": SUM, "max_tokens": 128, **USAGE}),
    ("qwen3-vl", CHAT, {"messages": WORDS, **LONG, **USAGE}),
    ("qwen3-vl", COMPLETIONS, {"prompt": "Grüße! 日本語 🙂🏽", **LONG, **USAGE}),
    *(
        pytest.param(*case, marks=pytest.mark.slow)
        for case in (
            ("gpt-oss", CHAT, {"messages": SUM, **LONG, **USAGE}),
            ("gpt-oss", CHAT, {"messages": SUM, "max_tokens": 128, "return_token_ids": True, **USAGE}),
            ("gpt-oss", COMPLETIONS, {"prompt": "What is 27 + 58?", **LONG, "return_token_ids": True, **USAGE}),
            ("qwen3-vl", CHAT, {"messages": WORDS, "max_completion_tokens": 60, "ignore_eos": True, "temperature": 0}),
        )
    ),
]


@pytest.mark.parametrize(("model", "path", "fields"), CASES)
async def test_a_continued_stream_is_the_undisturbed_one(
    fleet: RunningFleet, model: str, path: str, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut once and twice, at some places of each answer."""
    monkeypatch.setattr("deployments.gateway.proxy.recovery.outlier_ejection.FIRST_EJECTION_S", 0.01)
    draw = random.Random(5)
    async with broken(fleet, model) as (gateway, one, other):
        undisturbed = await gateway.stream(path, **{"temperature": 0, **fields, "model": model})
        frames = undisturbed.count(b"\n\n")
        assert frames > 2, "a busy server says several tokens in one frame"
        places = range(1, frames, 4) if frames < 40 else draw.sample(range(1, frames), 5)
        for place in places:
            one.cut_after, other.cut_after = [place], [place, draw.randint(1, 5)]
            raw = await gateway.stream(path, **{"temperature": 0, **fields, "model": model})
            one.cut_after, other.cut_after = [], []
            assert told(raw) == told(undisturbed), f"cut after {place} of {frames} frames"
        metrics = gateway.server.state.metrics.render().decode()
        assert "gateway_resumed_streams_total{" in metrics
