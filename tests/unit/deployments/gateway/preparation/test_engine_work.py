"""What would occupy an engine's event loop for a second is refused, and the refusal says why."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.errors import ApiError
from deployments.gateway.preparation import engine_work
from deployments.gateway.preparation.body import BodyFile, write_all
from deployments.gateway.preparation.byte_budget import ByteBudget, ByteClaim
from deployments.gateway.preparation.engine_work import MOST_INPUT_ITEMS, MOST_NODES, check_items, check_nodes
from deployments.gateway.preparation.json_body import JsonSettings, PreparedJson, Source
from deployments.gateway.preparation.preparer import Preparer, preparer

JSON = st.recursive(
    st.none() | st.text(st.sampled_from('[]{}"\\ax')) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.sampled_from('["\\')), inner, max_size=3),
)
CHAT, RESPONSES, TOKENIZE = "/v1/chat/completions", "/v1/responses", "/tokenize"


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user"}] * MOST_NODES},
        {"x": [[]] * MOST_NODES},
        {"x": {str(number): {} for number in range(MOST_NODES)}},
        {"x": [[[]] * 1000] * 40},
    ],
)
def test_a_body_of_too_many_objects_and_arrays_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match="stand still for all others") as raised:
        check_nodes(json.dumps(body).encode())
    assert (raised.value.status, raised.value.code) == (400, "body_too_complex")


def test_many_items_of_a_responses_input_are_refused_there_alone() -> None:
    body = {"input": [{"role": "user", "content": "x"}] * (MOST_INPUT_ITEMS + 1)}
    with pytest.raises(ApiError, match=f"send at most {MOST_INPUT_ITEMS}"):
        check_items(RESPONSES, body)
    check_items(CHAT, body)


def test_long_but_plain_bodies_pass() -> None:
    check_nodes(json.dumps({"messages": [{"content": "x" * 10_000_000}], "prompt": [1] * 1_000_000}).encode())
    check_nodes(json.dumps({"x": '[{"\\\\' * 1_000_000}).encode())
    check_nodes(b"[" * MOST_NODES + b"]" * MOST_NODES)


@given(JSON)
def test_objects_and_arrays_are_counted_without_being_decoded(value: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        count = _count(value)
        raw = json.dumps(value).encode()
        patch.setattr(engine_work, "MOST_NODES", count)
        check_nodes(raw)
        patch.setattr(engine_work, "MOST_NODES", count - 1)
        if count:
            with pytest.raises(ApiError):
                check_nodes(raw)


def _count(value: Any) -> int:
    if isinstance(value, dict | list):
        return 1 + sum(map(_count, value.values() if isinstance(value, dict) else value))
    return 0


@pytest.mark.parametrize("raw", [b'"' + b'\\"[' * 1_000_000, b"[" + b'"[' * 1_000_001, b'[{"' + b"\\" * 3_000_000])
def test_hostile_texts_are_read_once(raw: bytes) -> None:
    before = time.thread_time()
    with suppress(ApiError):
        check_nodes(raw)
    assert time.thread_time() - before < 2


class Prepare:
    """A preparer with workers that know one model's prompts."""

    def __init__(self, made: Preparer, source: Source) -> None:
        self.made, self.sources = made, {"m": source}

    async def __call__(self, route: str, **body: Any) -> PreparedJson:
        settings = JsonSettings(route, worked=route != TOKENIZE, sources=self.sources)
        with closing(BodyFile("body")) as file:
            write_all(file.fd, json.dumps({"model": "m", **body}).encode())
            prepared, sent = await self.made.json_body(file, settings, "tenant", ByteClaim(ByteBudget(2**30)))
            if isinstance(sent, BodyFile):
                sent.close()
            return prepared


@pytest.fixture
async def prepare() -> AsyncIterator[Prepare]:
    source, made = Source("fake", "c"), preparer(keyed=True)
    assert await made.load(source) == ""
    yield Prepare(made, source)
    await made.close()


SLOW = "aä" * 700_000
"""The fake tokenizer needs more than the limit for it."""


@pytest.mark.parametrize(
    ("route", "body"),
    [
        (TOKENIZE, {"prompt": SLOW}),
        (CHAT, {"messages": [{"role": "user", "content": SLOW}], "chat_template": "of the client's own"}),
        (CHAT, {"messages": [{"role": "user", "content": SLOW}], "echo": True}),
    ],
)
async def test_text_that_an_engine_would_tokenise_for_long_is_refused(
    prepare: Prepare, route: str, body: dict[str, Any]
) -> None:
    with pytest.raises(ApiError, match=r"tokenising it takes more than 0\.3 s of CPU") as raised:
        await prepare(route, **body)
    assert (raised.value.status, raised.value.code) == (400, "body_too_complex")
    assert (await prepare(TOKENIZE, prompt="a" * 10_000)).model == "m"


async def test_text_that_an_engine_gets_as_token_ids_has_the_longer_limit(prepare: Prepare) -> None:
    prepared = await prepare(CHAT, messages=[{"role": "user", "content": "a" * 1_000_000}])
    assert prepared.prompt is not None


async def test_media_is_no_text(prepare: Prepare) -> None:
    url = "data:image/png;base64," + "A" * 20_000_000
    parts = [{"type": "image_url", "image_url": {"url": url}}]
    assert (await prepare(CHAT, messages=[{"role": "user", "content": parts}])).model == "m"
