"""Text that would occupy an engine's event loop for too long is refused, and the refusal says why."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import pytest

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.bodies.body import BodyFile, write_all
from deployments.gateway.preparation.bodies.byte_budget import ByteBudget, ByteClaim
from deployments.gateway.preparation.bodies.json_body import JsonSettings, PreparedJson, Source
from deployments.gateway.preparation.engine_work.tokenising import MOST_IDS, prompt_texts, tokenise_as_engines_do
from deployments.gateway.preparation.preparer import Preparer, preparer
from deployments.gateway.preparation.prompts.renderers.fake import FakeRenderer
from tests.support.routes import bodies_of

CHAT, TOKENIZE = "/v1/chat/completions", "/tokenize"


class Prepare:
    """A preparer with workers that know one model's prompts."""

    def __init__(self, made: Preparer, source: Source) -> None:
        self.made, self.sources = made, {"m": source}

    async def __call__(self, route: str, **body: Any) -> PreparedJson:
        settings = JsonSettings(bodies_of(route), sources=self.sources)
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


SLOW = "aä" * 400_000
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


def test_text_of_too_many_tokens_is_refused_however_quickly_they_are_made() -> None:
    class Quick(FakeRenderer):
        def tokenise(self, text: str) -> int:
            return len(text)

    tokenise_as_engines_do(Quick(), {"prompt": "a" * (MOST_IDS - 1)})
    with pytest.raises(ApiError, match=f"has {MOST_IDS + 1} tokens; send at most {MOST_IDS}"):
        tokenise_as_engines_do(Quick(), {"prompt": "a" * (MOST_IDS + 1)})


async def test_text_that_an_engine_gets_as_token_ids_has_the_longer_limit(prepare: Prepare) -> None:
    prepared = await prepare(CHAT, messages=[{"role": "user", "content": "a" * 1_000_000}])
    assert prepared.prompt is not None


async def test_media_is_no_text(prepare: Prepare) -> None:
    url = "data:image/png;base64," + "A" * 20_000_000
    parts = [{"type": "image_url", "image_url": {"url": url}}]
    assert (await prepare(CHAT, messages=[{"role": "user", "content": parts}])).model == "m"


RUN = "a" * 100


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "system", "content": [{"type": "text", "text": RUN}] * 100}]},
        {"messages": [{"role": "assistant", "content": [RUN] * 100}]},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": RUN}] * 100}]},
        {"tools": [{"function": {"parameters": {"properties": {RUN * 100: {}}}}}]},
        {"tools": [{"function": {"parameters": {"url": "data:," + RUN * 100}}}]},
        {"input": "data:," + RUN * 100},
        {"prompt": ["data:," + RUN * 100]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "data:," + RUN * 100}]}]},
    ],
)
def test_a_run_counts_as_one_text_wherever_an_engine_renders_it_as_one(body: dict[str, Any]) -> None:
    assert max(map(len, prompt_texts(body))) >= 100 * len(RUN)


def test_short_texts_are_tokenised_together_and_media_not_at_all() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1000}}
    body = {"messages": [{"role": "user", "content": [image, {"type": "text", "text": "hi"}]}] * 1000}
    (text,) = prompt_texts(body)
    assert text.count("hi") == 1000
    assert "AAAA" not in text
