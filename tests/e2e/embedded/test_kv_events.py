"""Real engines tell of their caches: what the fake engine publishes, published by vLLM."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import secrets
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import numpy as np
import pytest
import zmq
import zmq.asyncio
from PIL import Image

from cluster.checkpoints import resolve
from deployments.kv_cache.events import Stored
from deployments.kv_cache.messages import END_OF_REPLAY
from deployments.kv_cache.replay_protocol import FeedState
from deployments.routing.keys import KEY_TOKENS
from tests.e2e.embedded.conftest import RunningFleet
from tests.support.cache_reporters import facts_of
from tests.support.engine_keys import direct_session
from tests.support.kv_follower import Notes, following

HINTS_END_AFTER_S = 8.0
"""A booked prompt is claimed ahead of the engine's word for some seconds."""


@asynccontextmanager
async def followed(fleet: RunningFleet, model: str) -> AsyncIterator[tuple[Notes, aiohttp.ClientSession, str]]:
    """What the model's replica tells, a client of its engine (no gateway between), and its replay socket's address."""
    (told,) = fleet.replicas(model)
    facts = await facts_of(str(told["url"]))
    live, replays = str(facts.kv_events), str(facts.kv_replay)
    timeout = aiohttp.ClientTimeout(total=120)
    async with following(live, replays) as notes, direct_session(str(told["url"]), timeout) as session:
        await notes.until_state(FeedState.EXACT)
        yield notes, session, replays


async def post(session: aiohttp.ClientSession, route: str, body: dict[str, Any]) -> dict[str, Any]:
    fixed = {"temperature": 0, "max_tokens": 1, "return_token_ids": True}
    async with session.post(route, json={**fixed, **body}) as answer:
        assert answer.status == 200, await answer.text()
        told: dict[str, Any] = await answer.json()
        return told


def fresh_ids(count: int) -> list[int]:
    """Token ids that no other prompt begins with."""
    return [1000 + secrets.randbelow(50_000) for _ in range(count)]


def run_from_start(notes: Notes, salt: str, ids: list[int]) -> Stored | None:
    found = (e for e in notes.stored if e.parent is None and e.salt == salt and e.token_ids[:8] == ids[:8])
    return next(found, None)


async def raw_batches(replay_endpoint: str) -> list[Any]:
    """Everything that the engine has published so far, as it is on the wire."""
    socket = zmq.asyncio.Context.instance().socket(zmq.DEALER)
    batches = []
    try:
        socket.connect(replay_endpoint)
        await socket.send_multipart([b"", bytes(8)])
        while (frames := await socket.recv_multipart())[2] != END_OF_REPLAY:
            batches.append(msgspec.msgpack.decode(frames[3]))
    finally:
        socket.close(linger=0)
    return batches


def socket_folder_mode(path: str) -> int:
    """Who may enter the folder of the socket that is there."""
    assert Path(path).is_socket()
    return stat.S_IMODE(Path(path).parent.stat().st_mode)


async def test_replicas_with_a_prefix_cache_announce_their_reporters_and_keep_their_events(fleet: RunningFleet) -> None:
    for model in ("gpt-oss", "qwen3-vl"):
        (told,) = fleet.replicas(model)
        host = str(told["url"]).removeprefix("http://").rsplit(":", 1)[0]
        ports = {
            str(told[key]).removeprefix(f"tcp://{host}:").partition("#")[0]
            for key in ("cache_reports", "cache_snapshots")
        }
        assert all(port.isdigit() for port in ports)
        assert len(ports) == 2
        facts = await facts_of(str(told["url"]))
        for endpoint in (facts.kv_events, facts.kv_replay):
            assert socket_folder_mode(str(endpoint).removeprefix("ipc://")) == 0o700, "no other user gets in"
            assert str(endpoint) not in str(told)
    (whisper,) = fleet.replicas("whisper")
    assert (whisper["cache_reports"], whisper["cache_snapshots"]) == (None, None)


async def test_a_gateway_knows_a_prompt_of_a_real_engine_by_its_reporter(fleet: RunningFleet) -> None:
    """After the engine's own word what is predicted is what is found, in whole keys."""
    async with aiohttp.ClientSession(fleet.url, timeout=aiohttp.ClientTimeout(total=120)) as session:
        body = {"model": "qwen3-vl", "prompt": " ".join(secrets.token_hex(2) for _ in range(100)), "max_tokens": 1}
        first = await post(session, "/v1/completions", body)
        await asyncio.sleep(HINTS_END_AFTER_S)  # only what the engine has said counts from now on
        async with session.post("/v1/completions", json=body, headers={"x-explain-routing": "1"}) as answer:
            decision, second = json.loads(answer.headers["x-routing"]), await answer.json()
    found = second["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert first["usage"]["prompt_tokens"] > found > 0
    (candidate,) = decision["candidates"]
    assert candidate["cached_tokens"] == found - found % KEY_TOKENS > 0


async def test_a_prompt_is_told_with_its_tokens_once_for_each_salt(fleet: RunningFleet) -> None:
    ids = fresh_ids(150)
    async with followed(fleet, "gpt-oss") as (notes, session, _):
        plain_prompt = {"model": "gpt-oss", "prompt": ids}
        await post(session, "/v1/completions", plain_prompt)
        await post(session, "/v1/completions", {**plain_prompt, "cache_salt": "tenant"})
        await notes.until(lambda notes: run_from_start(notes, "tenant", ids) is not None)
        plain, salted = run_from_start(notes, "", ids), run_from_start(notes, "tenant", ids)
        assert plain is not None
        assert salted is not None
        size = plain.block_size
        for event in (plain, salted):
            assert len(event.hashes) == len(set(event.hashes)) == 150 // size
            assert event.token_ids == ids[: 150 // size * size]
            assert (event.adapter, event.media) == ("", ())
        assert set(plain.hashes).isdisjoint(salted.hashes)

        again = await post(session, "/v1/completions", plain_prompt)
        assert again["usage"]["prompt_tokens_details"]["cached_tokens"] == 150 // size * size
        longer = await post(session, "/v1/completions", {**plain_prompt, "prompt": [*ids, *fresh_ids(size)]})
        assert longer["usage"]["prompt_tokens_details"]["cached_tokens"] == 150 // size * size
        await notes.until(lambda notes: any(event.parent == plain.hashes[-1] for event in notes.stored))
        runs = [event for event in notes.stored if set(event.hashes) & set(plain.hashes)]
        assert runs == [plain], "a hit is not told again"
        assert (notes.clears, notes.states[-1]) == (0, FeedState.EXACT)


async def test_of_a_hybrid_model_only_full_attention_is_followed(fleet: RunningFleet) -> None:
    async with followed(fleet, "gpt-oss") as (notes, session, replays):
        ids = fresh_ids(200)
        await post(session, "/v1/completions", {"model": "gpt-oss", "prompt": ids})
        await notes.until(lambda notes: run_from_start(notes, "", ids) is not None)
        batches = await raw_batches(replays)
        stored = [
            e for batch in batches for e in batch[1] if e["type"] == "BlockStored" and e["token_ids"][:8] == ids[:8]
        ]
        kinds = {event["kv_cache_spec_kind"] for event in stored}
        assert kinds == {"full_attention", "sliding_window"}
        assert len([e for e in notes.stored if list(e.token_ids[:8]) == ids[:8]]) == 1


async def test_a_gateway_that_comes_later_learns_the_same(fleet: RunningFleet) -> None:
    async with followed(fleet, "gpt-oss") as (first, session, _):
        await post(session, "/v1/completions", {"model": "gpt-oss", "prompt": fresh_ids(100)})
        async with followed(fleet, "gpt-oss") as (second, _, _):
            await first.until(lambda notes: len(notes.events) == len(second.events))
            assert first.events == second.events
            assert first.is_a_chain()


def picture(side: int) -> dict[str, Any]:
    """A picture that no other test has sent."""
    pixels = np.frombuffer(secrets.token_bytes(side * side * 3), np.uint8).reshape(side, side, 3)
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    return {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()},
    }


@pytest.mark.parametrize("uuids", [("cat",), ("cat", "dog")])
async def test_a_pictures_uuid_is_told_as_its_identity_where_it_begins(
    fleet: RunningFleet, uuids: tuple[str, ...]
) -> None:
    checkpoint = str(fleet.replicas("qwen3-vl")[0]["checkpoint"])
    token = json.loads((Path(resolve(checkpoint).path) / "config.json").read_text())["image_token_id"]
    names = [f"{uuid}-{secrets.token_hex(4)}" for uuid in uuids]
    parts: list[dict[str, Any]] = [{"type": "text", "text": "What digit is on each of these?"}]
    parts += [{**picture(224), "uuid": name} for name in names]
    salt = secrets.token_hex(4)
    async with followed(fleet, "qwen3-vl") as (notes, session, _):
        body = {"model": "qwen3-vl", "messages": [{"role": "user", "content": parts}], "cache_salt": salt}
        answer = await post(session, "/v1/chat/completions", body)
        await notes.until(lambda notes: any(event.salt == salt for event in notes.stored))
        (told,) = [event for event in notes.stored if event.salt == salt]
    ids = answer["prompt_token_ids"]
    starts = [i for i, t in enumerate(ids) if t == token and (i == 0 or ids[i - 1] != token)]
    assert told.token_ids == ids[: len(told.token_ids)]
    assert len(told.token_ids) > starts[-1], "the run reaches into the last picture"
    assert [(mark.start, mark.identity) for mark in told.media] == list(zip(starts, names, strict=True))
