"""What a fake engine publishes: the true wire, one server and one follower in this event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import zmq
import zmq.asyncio

from deployments.engine.fake.kv_blocks import chain_keys
from deployments.engine.fake.prompts import IMAGE_TOKENS
from deployments.engine.fake.tokenizer import Control, encode
from deployments.kv_cache.events import Cleared, MediaMark, Removed, Stored
from deployments.kv_cache.messages import END_OF_REPLAY
from deployments.kv_cache.replay_protocol import FeedState
from tests.support.kv_follower import Notes, following

SIZE = 16
COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"


async def sources(engine: Any) -> dict[str, Any]:
    async with engine.client.get("/kv_event_sources") as answer:
        told: dict[str, Any] = await answer.json()
        return told


@asynccontextmanager
async def followed(engine: Any) -> AsyncIterator[Notes]:
    source = (await sources(engine))["0"]
    async with following(source["endpoint"], source["replay_endpoint"]) as notes:
        await notes.until_state(FeedState.EXACT)
        yield notes


async def prompt(engine: Any, ids: list[int], **fields: Any) -> None:
    await engine.post(COMPLETIONS, {"prompt": ids, "max_tokens": 1, **fields})


@pytest.mark.parametrize("settings", [{"caches": False}, {"task": "transcription"}])
async def test_without_a_prefix_cache_there_is_no_source(serve: Any, settings: dict[str, Any]) -> None:
    assert await sources(await serve(**settings)) == {}


async def test_a_prompt_is_told_with_its_tokens_and_a_hit_is_not_told(serve: Any) -> None:
    engine = await serve(block_size=SIZE)
    ids = list(range(40))
    async with followed(engine) as notes:
        await prompt(engine, ids)
        await prompt(engine, ids)
        await prompt(engine, [*ids, *range(40, 48)])
        await notes.until(lambda notes: len(notes.stored) == 2)
    first, second = notes.stored
    keys = chain_keys([*ids, *range(40, 48)], SIZE)
    assert first == Stored(keys[:2], None, ids[:32], SIZE)
    assert second == Stored(keys[2:], keys[1], list(range(32, 48)), SIZE)


async def test_an_answer_is_told_as_its_blocks_fill(serve: Any) -> None:
    engine = await serve(block_size=SIZE)
    async with followed(engine) as notes:
        await prompt(engine, list(range(16)), max_tokens=40)
        await notes.until(lambda notes: len(notes.blocks) == 3)
    assert notes.is_a_chain()
    assert [len(event.hashes) for event in notes.stored] == [1, 1, 1]


async def test_the_salt_is_told_at_the_start_only(serve: Any) -> None:
    engine = await serve(block_size=SIZE)
    async with followed(engine) as notes:
        await prompt(engine, list(range(16)), max_tokens=20, cache_salt="tenant")
        await prompt(engine, list(range(16)))
        await notes.until(lambda notes: len(notes.stored) == 3)
    assert [event.salt for event in notes.stored] == ["tenant", "", ""]
    assert len({name for event in notes.stored for name in event.hashes}) == 3


async def test_pictures_are_told_where_they_begin(serve: Any) -> None:
    engine = await serve(task="vision-chat", block_size=SIZE)
    picture = {"type": "image_url", "image_url": {"url": "data:x"}}
    parts = [{"type": "text", "text": "abc" * 4}, {**picture, "uuid": "cat"}, {**picture, "uuid": "dog"}]
    async with followed(engine) as notes:
        await engine.post(CHAT, {"messages": [{"role": "user", "content": parts}], "max_tokens": 1})
        await notes.until(lambda notes: len(notes.stored) == 1)
    (told,) = notes.stored
    start = 1 + len(encode("abc" * 4))
    assert told.media == (MediaMark(start, "cat"), MediaMark(start + IMAGE_TOKENS, "dog"))
    assert told.token_ids[start] == Control.IMAGE


async def test_blocks_taken_for_other_content_and_a_reset_are_told(serve: Any) -> None:
    engine = await serve(block_size=SIZE, kv_blocks=4)
    async with followed(engine) as notes:
        await prompt(engine, list(range(48)))
        await prompt(engine, list(range(100, 148)))
        await notes.until(lambda notes: len(notes.stored) == 2)
        assert notes.blocks == engine.engine.blocks.cached_keys
        assert any(isinstance(event, Removed) for event in notes.events)
        assert await engine.post("/reset_prefix_cache", {}) == {"success": True}
        await notes.until(lambda notes: isinstance(notes.events[-1], Cleared))


async def test_a_reset_is_refused_while_blocks_are_in_use(serve: Any) -> None:
    engine = await serve(block_size=SIZE)
    allocation = engine.engine.blocks.allocate([], 5)
    assert await engine.post("/reset_prefix_cache", {}) == {"success": False}
    engine.engine.blocks.free(allocation)


async def test_a_replay_is_answered_as_vllm_answers_it(serve: Any) -> None:
    engine = await serve(block_size=SIZE)
    for first in range(3):
        await prompt(engine, list(range(first, first + 20)))
    context = zmq.asyncio.Context.instance()
    socket = context.socket(zmq.DEALER)
    try:
        socket.connect((await sources(engine))["0"]["replay_endpoint"])
        await socket.send_multipart([b"", (1).to_bytes(8, "big")])
        answers = [await socket.recv_multipart() for _ in range(3)]
    finally:
        socket.close(linger=0)
    assert [int.from_bytes(frames[2], "big") for frames in answers[:2]] == [1, 2]
    assert answers[2] == [b"", b"", END_OF_REPLAY, b""]
    ts, events, rank = msgspec.msgpack.decode(answers[0][3])
    assert (rank, [event["type"] for event in events]) == (0, ["BlockStored"])
    assert ts > 1e9
    assert (events[0]["medium"], events[0]["kv_cache_spec_kind"], events[0]["group_idx"]) == (
        "GPU",
        "full_attention",
        0,
    )


@pytest.mark.parametrize(("fault", "clears", "state"), [("drop", 0, "exact"), ("forget", 1, "degraded")])
async def test_batches_can_be_made_to_get_lost(serve: Any, fault: str, clears: int, state: str) -> None:
    engine = await serve(block_size=SIZE)
    async with followed(engine) as notes:
        await engine.post("/fault", {f"{fault}_events": 2})
        for first in (0, 100, 200):
            await prompt(engine, list(range(first, first + 20)))
        await notes.until(lambda notes: bool(notes.stored))
        await notes.until_state(FeedState(state))
    assert [event.token_ids[0] for event in notes.stored] == ([200] if clears else [0, 100, 200])
    assert notes.clears == clears


async def test_the_losses_are_counted_and_reset(serve: Any) -> None:
    engine = await serve()
    status, error = await engine.error("/fault", json={"forget_events": -1})
    assert (status, "0 or more" in error["message"]) == (400, True)
    await engine.post("/fault", {"drop_events": 2, "forget_events": 1})
    faults = engine.engine.faults
    assert [faults.take_event_loss() for _ in range(4)] == ["forgotten", "dropped", "dropped", None]
    await engine.post("/fault", {"drop_events": 2})
    async with engine.client.delete("/fault"):
        assert faults.take_event_loss() is None
