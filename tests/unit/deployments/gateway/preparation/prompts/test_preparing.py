from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.engine.fake.tokenizer import encode
from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.prompts import Prepared, Prompts, preparing
from deployments.gateway.preparation.prompts.renderers import RENDERERS
from deployments.gateway.preparation.prompts.renderers.fake import FakeRenderer
from deployments.gateway.preparation.prompts.renderers.template import TemplateRenderer
from deployments.gateway.preparation.prompts.salts import engine_salt
from deployments.routing.prompt import Prompt
from deployments.routing.work import estimated_tokens
from tests.support import tiny_checkpoint
from tests.support.prompts import prepare as prepare_now

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"


def _broken(checkpoint: str, revision: str | None) -> FakeRenderer:
    raise OSError(f"no {checkpoint} at {revision}")


@pytest.fixture(autouse=True)
def further_renderers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RENDERERS, "tiny", lambda checkpoint, revision: TemplateRenderer(tiny_checkpoint.checkpoint()))
    monkeypatch.setitem(RENDERERS, "broken", _broken)


@pytest.fixture
async def prompts() -> AsyncIterator[Prompts]:
    made = Prompts()
    assert await made.load("fake", "c") == ""
    assert await made.load("tiny", "c") == ""
    yield made
    made.close()


async def prepare(
    prompts: Prompts, route: str, body: Any, salt: str = "", renderer: str = "fake", **more: Any
) -> Prepared:
    raw = json.dumps(body).encode()
    return prepare_now(prompts, route, json.loads(raw), raw, renderer, "c", salt, **more)


def chat(content: Any, **further: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **further}


def picture(data: bytes, **further: Any) -> dict[str, Any]:
    address = "data:image/png;base64," + base64.b64encode(data).decode()
    return {"type": "image_url", "image_url": {"url": address}, **further}


async def test_a_prompt_is_tokenised_and_its_ids_are_sent_on(prompts: Prompts) -> None:
    prepared = await prepare(prompts, COMPLETIONS, {"prompt": "abcdef", "n": 1})
    assert prepared.prompt == Prompt(encode("abcdef"))
    assert (prepared.prompt_tokens, prepared.image_tokens, prepared.salt, prepared.reason) == (2, 0, "", "")
    assert json.loads(prepared.body) == {"prompt": encode("abcdef"), "n": 1}


async def test_where_nothing_changes_the_clients_own_bytes_are_sent(prompts: Prompts) -> None:
    raw = b'{ "messages": [ {"role":"user", "content":"a"} ] }'
    prepared = prepare_now(prompts, CHAT, json.loads(raw), raw, "fake", "c", "", pass_ids=False)
    assert prepared.body is raw
    assert prepared.prompt is not None


@pytest.mark.parametrize("size", [10, 100_000])
async def test_short_and_long_bodies_are_treated_alike(prompts: Prompts, size: int) -> None:
    body = chat([picture(b"x" * size, uuid="u"), {"type": "text", "text": "a" * size}], cache_salt="mine")
    prepared = await prepare(prompts, CHAT, body, "tenant")
    assert prepared.prompt is not None
    assert prepared.salt == engine_salt("tenant", "mine")
    sent = json.loads(prepared.body)
    assert sent["cache_salt"] == prepared.salt
    assert sent["messages"][0]["content"][0]["uuid"] == prepared.prompt.media[0].identity
    assert prepared.image_tokens == 256
    assert prepared.prompt_tokens == len(prepared.prompt.token_ids)


@pytest.mark.parametrize("route", [CHAT, COMPLETIONS, RESPONSES])
@pytest.mark.parametrize(("tenant", "client"), [("", None), ("", "x"), ("t", None), ("t", "x")])
async def test_salts(prompts: Prompts, route: str, tenant: str, client: str | None) -> None:
    prepared = await prepare(prompts, route, {"prompt": "a", "input": "a", "cache_salt": client}, tenant)
    assert prepared.salt == engine_salt(tenant, client or "")
    assert json.loads(prepared.body)["cache_salt"] == (prepared.salt or None)


async def test_a_salt_that_engines_refuse_is_left_to_them(prompts: Prompts) -> None:
    for refused in (7, ["x"]):
        prepared = await prepare(prompts, CHAT, chat("a", cache_salt=refused), "tenant")
        assert json.loads(prepared.body)["cache_salt"] == refused


async def test_an_empty_salt_does_not_leave_the_tenants_out(prompts: Prompts) -> None:
    prepared = await prepare(prompts, CHAT, chat("a", cache_salt=""), "tenant")
    assert json.loads(prepared.body)["cache_salt"] == prepared.salt == engine_salt("tenant", "")


async def test_other_routes_have_no_prompt_but_own_identities(prompts: Prompts) -> None:
    prepared = await prepare(prompts, "/tokenize", chat([picture(b"x", uuid="theirs")]), "tenant")
    assert (prepared.prompt, prepared.salt) == (None, "")
    assert "theirs" not in prepared.body.decode()
    assert "cache_salt" not in json.loads(prepared.body)


async def test_a_bare_uuid_is_refused(prompts: Prompts) -> None:
    with pytest.raises(ApiError, match="sends no media"):
        await prepare(prompts, CHAT, chat([{"type": "image_url", "uuid": "theirs"}]))


async def test_a_clients_own_ids_never_reach_the_engine(prompts: Prompts) -> None:
    body = chat([picture(b"x")], kv_transfer_params={"prompt_token_ids": [1, 2], "x": 1})
    assert json.loads((await prepare(prompts, CHAT, body)).body)["kv_transfer_params"] == {"x": 1}
    body = chat("abc", kv_transfer_params={"prompt_token_ids": [1, 2]})
    sent = json.loads((await prepare(prompts, CHAT, body)).body)
    prepared = await prepare(prompts, CHAT, chat("abc"))
    assert prepared.prompt is not None
    assert sent["kv_transfer_params"] == {"prompt_token_ids": list(prepared.prompt.token_ids)}


async def test_without_keys_salts_and_identities_hold() -> None:
    prompts = Prompts(keyed=False)
    prepared = await prepare(prompts, CHAT, chat([picture(b"x", uuid="theirs")]), "tenant")
    assert (prepared.prompt, prepared.reason) == (None, "prompts are not used")
    assert prepared.prompt_tokens == estimated_tokens(json.loads(prepared.body))
    assert "theirs" not in prepared.body.decode()
    assert json.loads(prepared.body)["cache_salt"] == prepared.salt != ""
    assert await prompts.load("fake", "c") == "prompts are not used"
    prompts.close()


async def test_a_malformed_picture_ends_the_prompt_and_the_estimate_stands_in(prompts: Prompts) -> None:
    body = chat([{"type": "text", "text": "look"}, picture(b"no picture")])
    prepared = await prepare(prompts, CHAT, body, renderer="tiny")
    assert prepared.prompt is not None
    assert prepared.prompt.media == ()
    assert prepared.prompt_tokens == estimated_tokens(json.loads(prepared.body)) > 1000
    assert prepared.reason == ""


@pytest.mark.parametrize("renderer", ["", "unknown"])
async def test_no_renderer(prompts: Prompts, renderer: str) -> None:
    prepared = await prepare(prompts, CHAT, chat("a"), renderer=renderer)
    assert (prepared.prompt, prepared.reason) == (None, f"no renderer '{renderer}'")
    assert await prompts.load(renderer, "c") == prepared.reason


async def test_a_renderer_that_cannot_be_loaded_is_told_of_once(
    prompts: Prompts, caplog: pytest.LogCaptureFixture
) -> None:
    first = await prepare(prompts, CHAT, chat("a"), renderer="broken")
    assert first.reason == "the tokenizer is being loaded"
    assert await prompts.load("broken", "c") == "tokenizer not loaded"
    for _ in range(3):
        assert (
            await prepare(prompts, CHAT, chat("a"), renderer="broken")
        ).reason == "the tokenizer could not be loaded"
    assert [record.getMessage() for record in caplog.records if "no c at None" in record.getMessage()] != []
    assert len(caplog.records) == 1


async def test_too_long_a_body_is_not_tokenised(prompts: Prompts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "MOST_TOKENS", 1250)
    prepared = await prepare(prompts, CHAT, chat("a" * 5100))
    assert (prepared.prompt, prepared.reason) == (None, "too long to be tokenised here")
    assert (await prepare(prompts, CHAT, chat([picture(b"x" * 5000)]))).prompt is not None


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


HOSTILE: list[Any] = [
    {},
    {"messages": None, "prompt": None, "input": None},
    {"messages": 7, "prompt": 7, "input": 7},
    {"messages": {"role": "user"}, "prompt": {"a": 1}, "input": {"a": 1}},
    {"messages": [None, 7, [], "x", {}], "prompt": [None], "input": [None, []]},
    {"messages": [{"role": 7, "content": 7}], "prompt": [[]], "input": ""},
    {
        "messages": [
            {"role": "user", "content": [None, 7, {}, {"type": 7}, {"type": "text"}, {"type": "text", "text": 7}]}
        ]
    },
    {"messages": [{"role": "user", "content": nested(500)}], "prompt": nested(500), "input": nested(500)},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": nested(100)}]}]},
    {"messages": [{"role": "user", "content": "a"}], "tools": 7, "kv_transfer_params": 7, "reasoning_effort": []},
    {"prompt": [-1, 2**70], "input": "a", "tools": [7], "instructions": 7, "reasoning": 7},
    {"messages": [{"role": "user", "content": "a"}], "tools": [{}], "chat_template_kwargs": 7, "documents": 7},
]


@pytest.mark.parametrize("route", [CHAT, COMPLETIONS, RESPONSES, "/tokenize", "/detokenize"])
@pytest.mark.parametrize("renderer", ["fake", "tiny"])
@pytest.mark.parametrize("case", range(len(HOSTILE)))
async def test_hostile_bodies_reach_the_engine_as_they_are(
    prompts: Prompts, route: str, renderer: str, case: int
) -> None:
    prepared = await prepare(prompts, route, HOSTILE[case], renderer=renderer, pass_ids=False)
    sent = json.loads(prepared.body, object_hook=lambda part: {k: v for k, v in part.items() if k != "uuid"})
    assert sent == HOSTILE[case]
    assert prepared.prompt_tokens >= 0


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


names = st.text().map("x-".__add__)
"""Of fields that mean nothing to the gateway: hypothesis also tries the words that it finds in our source."""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(names, values), st.text(min_size=1))
async def test_what_is_encoded_anew_says_the_same(prompts: Prompts, fields: dict[str, Any], salt: str) -> None:
    prepared = await prepare(prompts, COMPLETIONS, {**fields, "prompt": "a"}, salt, pass_ids=False)
    assert json.loads(prepared.body) == {**fields, "prompt": "a", "cache_salt": prepared.salt}
