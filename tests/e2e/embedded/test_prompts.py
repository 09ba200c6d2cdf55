"""The gateway's prompts against real engines: the same token ids, the same answers, and nobody else's cache."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import requests
from PIL import Image

from deployments.gateway.preparation.prompts import Prepared, Prompts
from tests.e2e.embedded.conftest import RunningFleet
from tests.support.data import held_out_digits
from tests.support.engine_keys import engine_keys
from tests.support.prompts import prepare

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


@dataclass
class Engine:
    """A model's engine, asked without a gateway between, and the gateway's way to its prompts."""

    model: str
    url: str
    checkpoint: str
    renderer: str
    prompts: Prompts

    async def prepare(self, route: str, body: dict[str, Any], salt: str = "", pass_ids: bool = True) -> Prepared:
        body = {"model": self.model, "temperature": 0, "max_tokens": 1, **body}
        raw = json.dumps(body).encode()
        return prepare(
            self.prompts, route, json.loads(raw), raw, self.renderer, self.checkpoint, salt, pass_ids=pass_ids
        )

    def ask(self, route: str, body: dict[str, Any] | bytes) -> dict[str, Any]:
        answer = self.post(route, body)
        assert answer.status_code == 200, answer.text
        answered: dict[str, Any] = answer.json()
        return answered

    def post(self, route: str, body: dict[str, Any] | bytes) -> requests.Response:
        if isinstance(body, dict):
            body = json.dumps({"model": self.model, "temperature": 0, "max_tokens": 1, **body}).encode()
        headers = {"Content-Type": "application/json", **engine_keys().headers(self.url)}
        return requests.post(self.url + route, data=body, headers=headers, timeout=60)


def engine_of(fleet: RunningFleet, model: str) -> Iterator[Engine]:
    told = fleet.replicas(model)[0]
    checkpoint, renderer = str(told["checkpoint"]), str(told["renderer"])
    prompts = Prompts()
    assert asyncio.run(prompts.load(renderer, checkpoint)) == ""
    yield Engine(model, str(told["url"]), checkpoint, renderer, prompts)
    prompts.close()


@pytest.fixture(scope="module")
def gpt_oss(fleet: RunningFleet) -> Iterator[Engine]:
    yield from engine_of(fleet, "gpt-oss")


@pytest.fixture(scope="module")
def qwen(fleet: RunningFleet) -> Iterator[Engine]:
    yield from engine_of(fleet, "qwen3-vl")


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any, **further: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **further}


UNICODE = "Ωμέγα — 日本語 🙂🏽 naïve\r\n\t  x\u00a0y \u202eabc <|end|> 12345.6789\n\n\n"
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two numbers.\nExactly.",
        "parameters": {
            "type": "object",
            "properties": {
                "a": {"type": "number", "description": "the first"},
                "b": {"type": ["number", "null"], "default": 2, "enum": [1, 2]},
                "how": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["a"],
        },
    },
}
NOW = {"type": "function", "function": {"name": "now"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 27, "b": 58}'}}
TOOL_TURNS = [
    user("Add 27 and 58."),
    assistant("I will add.", reasoning="They want a sum.", tool_calls=[CALL]),
    {"role": "tool", "tool_call_id": "c1", "content": "85"},
]
LONG = "\n".join(f"{i}. The quick brown fox, twice {i * 7919} times; naïve Ωμέγα." for i in range(12))

TEXT_CHATS: dict[str, dict[str, Any]] = {
    "one turn": {"messages": [user("What is 27 + 58?")]},
    "parts": {"messages": [user([{"type": "text", "text": "What is "}, {"type": "text", "text": "27 + 58?"}])]},
    "system": {"messages": [{"role": "system", "content": "Be brief."}, user("What is 1 + 2?")]},
    "several turns": {"messages": [user("1 + 2?"), assistant("3"), user("and 4?"), assistant("7"), user("so?")]},
    "unicode": {"messages": [user(UNICODE)]},
    "spaces only": {"messages": [user("   \n ")]},
    "empty": {"messages": [user("")]},
    "a late system turn": {"messages": [user("hi"), {"role": "system", "content": "Be rude."}, user("1 + 1?")]},
    "a long system text": {"messages": [{"role": "system", "content": LONG[:600]}, user("1 + 2?")]},
}
HARMONY_CHATS: dict[str, dict[str, Any]] = {
    "developer": {"messages": [{"role": "developer", "content": "Be brief."}, user("1 + 2?")]},
    "system in parts": {"messages": [{"role": "system", "content": [{"type": "text", "text": "Be"}]}, user("1 + 2?")]},
    "low effort": {"messages": [user("1 + 2?")], "reasoning_effort": "low"},
    "high effort": {"messages": [user("1 + 2?")], "reasoning_effort": "high"},
    "tools": {"messages": [user("Add 1 and 2.")], "tools": [ADD, NOW]},
    "tools and instructions": {"messages": [{"role": "system", "content": LONG[:600]}, user("Add.")], "tools": [ADD]},
    "tools that are not to be used": {"messages": [user("1 + 2?")], "tools": [ADD], "tool_choice": "none"},
    "a tool's answer": {"messages": TOOL_TURNS, "tools": [ADD]},
    "two calls": {"messages": [user("x"), assistant(None, tool_calls=[CALL, {**CALL, "id": "c2"}])], "tools": [ADD]},
    "after a tool": {"messages": [*TOOL_TURNS, assistant("85", reasoning="It is 85."), user("And 2?")], "tools": [ADD]},
    "reasoning of an open turn": {"messages": [user("x"), assistant("", reasoning="Let me see."), user("go on")]},
    "reasoning of an answered turn": {"messages": [user("1 + 2?"), assistant("3", reasoning="1, 2"), user("sure?")]},
    "reasoning under its old name": {"messages": [user("x"), assistant("", reasoning_content="Hm."), user("y")]},
    "a long tool answer": {
        "messages": [*TOOL_TURNS[:2], {"role": "tool", "tool_call_id": "c1", "content": LONG}],
        "tools": [ADD],
    },
    "long turns": {"messages": [user(LONG[:520]), assistant(LONG[:515], reasoning="x"), user("so?")]},
    "a name": {"messages": [{**user("1 + 2?"), "name": "ann"}]},
    "json asked for": {"messages": [user("1 + 2?")], "response_format": {"type": "json_object"}},
}


@pytest.mark.parametrize("case", TEXT_CHATS | HARMONY_CHATS)
async def test_gpt_oss_chats_have_the_engines_own_ids(gpt_oss: Engine, case: str) -> None:
    await same_ids_and_answer(gpt_oss, (TEXT_CHATS | HARMONY_CHATS)[case])


@pytest.mark.parametrize("case", TEXT_CHATS)
async def test_template_chats_have_the_engines_own_ids(qwen: Engine, case: str) -> None:
    await same_ids_and_answer(qwen, TEXT_CHATS[case])


async def same_ids_and_answer(engine: Engine, chat: dict[str, Any]) -> None:
    chat = {**chat, "max_tokens": 24, "return_token_ids": True}
    prepared = await engine.prepare(CHAT, chat)
    plain = engine.ask(CHAT, chat)
    assert prepared.prompt is not None, prepared.reason
    assert list(prepared.prompt.token_ids) == plain["prompt_token_ids"]
    assert prepared.prompt_tokens == plain["usage"]["prompt_tokens"]
    assert b"prompt_token_ids" in prepared.body
    given = engine.ask(CHAT, prepared.body)
    assert given["prompt_token_ids"] == plain["prompt_token_ids"]
    assert given["choices"] == plain["choices"] or without_ids(given) == without_ids(plain)


def without_ids(answer: dict[str, Any]) -> list[Any]:
    """Choices without what is drawn anew each time: the ids of tool calls."""
    choices = json.loads(json.dumps(answer["choices"]))
    for choice in choices:
        for call in choice["message"].get("tool_calls") or []:
            call["id"] = ""
    return list(choices)


@pytest.mark.parametrize("text", ["12 + 30 =", UNICODE, LONG, " "])
@pytest.mark.parametrize("model", ["gpt_oss", "qwen"])
async def test_completions_have_the_engines_own_ids(request: pytest.FixtureRequest, model: str, text: str) -> None:
    engine: Engine = request.getfixturevalue(model)
    body = {"prompt": text[:900], "max_tokens": 8, "return_token_ids": True}
    prepared = await engine.prepare(COMPLETIONS, body)
    plain = engine.ask(COMPLETIONS, body)["choices"][0]
    assert prepared.prompt is not None, prepared.reason
    assert list(prepared.prompt.token_ids) == plain["prompt_token_ids"]
    assert isinstance(json.loads(prepared.body)["prompt"], list)
    assert engine.ask(COMPLETIONS, prepared.body)["choices"][0] == plain


async def test_responses_are_as_long_as_the_engine_says(gpt_oss: Engine) -> None:
    body = {"input": "What is 27 + 58?", "instructions": "Be brief.", "reasoning": {"effort": "high"}}
    prepared = await gpt_oss.prepare("/v1/responses", {**body, "max_tokens": None, "max_output_tokens": 16})
    answer = gpt_oss.ask("/v1/responses", {**body, "max_tokens": None, "max_output_tokens": 16})
    assert prepared.prompt is not None, prepared.reason
    assert prepared.prompt_tokens == answer["usage"]["input_tokens"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("route", "body"), [(CHAT, {"messages": [user("x " * 3000)]}), (COMPLETIONS, {"prompt": "x " * 3000})]
)
async def test_too_long_a_prompt_is_refused_alike(
    gpt_oss: Engine, route: str, body: dict[str, Any], stream: bool
) -> None:
    prepared = await gpt_oss.prepare(route, {**body, "stream": stream})
    plain, given = gpt_oss.post(route, {**body, "stream": stream}), gpt_oss.post(route, prepared.body)
    assert plain.status_code == given.status_code == 400
    assert "context length" in given.json()["error"]["message"]


@pytest.mark.parametrize("most", [900, 1024, 5000])
async def test_too_long_an_answer_is_refused_alike(gpt_oss: Engine, most: int) -> None:
    body = {"messages": [user(LONG)], "max_tokens": most}
    prepared = await gpt_oss.prepare(CHAT, body)
    assert gpt_oss.post(CHAT, body).status_code == gpt_oss.post(CHAT, prepared.body).status_code


def noise(width: int, height: int, form: str = "PNG", seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def picture(data: bytes, **further: Any) -> dict[str, Any]:
    address = "data:image/png;base64," + base64.b64encode(data).decode()
    return {"type": "image_url", "image_url": {"url": address}, **further}


WHAT = {"type": "text", "text": "What digit is this? Say it in one short sentence, and nothing else, please."}
PICTURE_CHATS: dict[str, list[Any]] = {
    "one": [picture(noise(64, 64)), WHAT],
    "odd sizes": [picture(noise(33, 57)), WHAT, picture(noise(31, 400))],
    "tiny and large": [picture(noise(5, 3)), picture(noise(640, 480)), WHAT],
    "wide": [picture(noise(1000, 6)), WHAT],
    "half cells": [picture(noise(48, 80)), picture(noise(80, 48)), WHAT],
    "four of them": [WHAT, *(picture(noise(64, 64 + 32 * i, seed=i)) for i in range(4))],
    "JPEG": [picture(noise(90, 70, "JPEG")), WHAT],
    "WebP": [picture(noise(90, 70, "WEBP")), WHAT],
    "GIF": [picture(noise(90, 70, "GIF")), WHAT],
    "BMP": [picture(noise(90, 70, "BMP")), WHAT],
    "the same twice": [picture(noise(64, 64)), WHAT, picture(noise(64, 64))],
}


@pytest.mark.parametrize("case", PICTURE_CHATS)
async def test_pictures_have_as_many_tokens_as_the_engine_gives_them(qwen: Engine, case: str) -> None:
    parts = PICTURE_CHATS[case]
    body = {"messages": [user("Look."), assistant("Yes."), user(parts)], "return_token_ids": True}
    prepared = await qwen.prepare(CHAT, body)
    answer = qwen.ask(CHAT, body)
    assert prepared.prompt is not None, prepared.reason
    assert list(prepared.prompt.token_ids) == answer["prompt_token_ids"]
    assert len(prepared.prompt.media) == sum(part["type"] == "image_url" for part in parts)
    for media in prepared.prompt.media:
        assert len(set(answer["prompt_token_ids"][media.start : media.start + media.tokens])) == 1
    assert qwen.ask(CHAT, prepared.body)["prompt_token_ids"] == answer["prompt_token_ids"]


def cached_and_text(engine: Engine, body: bytes) -> tuple[int, str]:
    answer = engine.ask(CHAT, body)
    details = answer["usage"]["prompt_tokens_details"] or {}
    return details.get("cached_tokens") or 0, answer["choices"][0]["message"]["content"]


async def test_a_forged_uuid_reads_nobody_elses_picture(qwen: Engine) -> None:
    one = held_out_digits(1)[0]
    other = next(digit for digit in held_out_digits(20) if digit.label != one.label)

    def asked(digit: Any, uuid: str) -> dict[str, Any]:
        return {"messages": [user([picture(digit.png, uuid=uuid), WHAT])], "max_tokens": 24}

    _, truth = cached_and_text(qwen, (await qwen.prepare(CHAT, asked(other, "mine"))).body)
    # What the engine by itself does with a uuid that is used twice: it answers of the first picture.
    first = qwen.ask(CHAT, asked(one, "forged"))["choices"][0]["message"]["content"]
    assert qwen.ask(CHAT, asked(other, "forged"))["choices"][0]["message"]["content"] == first != truth
    # And through the gateway's preparation: the same uuid, another tenant, no tenant at all.
    prepared = [await qwen.prepare(CHAT, asked(digit, "forged"), salt) for digit in (one, other) for salt in ("t", "")]
    answers = [cached_and_text(qwen, p.body)[1] for p in prepared]
    assert answers[0] == answers[1] == first
    assert answers[2] == answers[3] == truth
    identities = {p.prompt.media[0].identity for p in prepared if p.prompt}
    assert len(identities) == 4


async def test_a_tenants_cache_is_its_own(gpt_oss: Engine) -> None:
    body = {"messages": [user(f"{uuid4().hex} {LONG[:700]}")]}

    async def cached(salt: str, **further: Any) -> int:
        return cached_and_text(gpt_oss, (await gpt_oss.prepare(CHAT, {**body, **further}, salt)).body)[0]

    assert await cached("a") == 0
    assert await cached("a") > 0
    assert await cached("b") == 0
    assert await cached("a", cache_salt="mine") == 0
    assert await cached("a", cache_salt="mine") > 0
    assert await cached("b", cache_salt="mine") == 0
    assert await cached("b", cache_salt=(await gpt_oss.prepare(CHAT, body, "a")).salt) == 0


async def test_a_clients_own_ids_are_not_believed(gpt_oss: Engine) -> None:
    body = {"messages": [user("What is 27 + 58?")], "return_token_ids": True}
    lie = {**body, "kv_transfer_params": {"prompt_token_ids": [1, 2, 3]}}
    assert gpt_oss.ask(CHAT, lie)["prompt_token_ids"] == [1, 2, 3]  # which the engine by itself does believe
    for pass_ids in (True, False):
        prepared = await gpt_oss.prepare(CHAT, lie, pass_ids=pass_ids)
        assert prepared.prompt is not None
        assert gpt_oss.ask(CHAT, prepared.body)["prompt_token_ids"] == list(prepared.prompt.token_ids) != [1, 2, 3]
