"""Small bodies inline and large ones in workers: the same result, and nothing that a body does reaches the gateway."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from deployments.engine.fake.tokenizer import encode
from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.bodies.body import BodyFile, write_all
from deployments.gateway.preparation.bodies.byte_budget import ByteBudget, ByteClaim
from deployments.gateway.preparation.bodies.json_body import JsonSettings, PreparedJson, Source
from deployments.gateway.preparation.preparer import Preparer, preparer
from deployments.gateway.preparation.prompts.salts import engine_salt
from deployments.gateway.preparation.workers import pool as pool_module
from tests.support.routes import bodies_of

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
FAKE = Source("fake", "c")


@pytest.fixture(scope="module")
def prepare() -> Iterator[Preparer]:
    made = preparer(keyed=True)
    yield made
    asyncio.run(made.close())


@pytest.fixture(autouse=True)
async def _loaded(prepare: Preparer) -> None:
    prepare.prompts._renderers.clear()  # tasks of another test's event loop
    assert await prepare.load(FAKE) == ""


def settings(route: str = CHAT, **further: Any) -> JsonSettings:
    return JsonSettings(bodies_of(route), sources={"m": FAKE}, **further)


def claim() -> ByteClaim:
    return ByteClaim(ByteBudget(2**30))


async def prepared(
    prepare: Preparer, body: Any, settings: JsonSettings, worker: bool
) -> tuple[PreparedJson, dict[str, Any], bool]:
    """The result, the body that is sent, and whether that is another one. `worker`: whatever the body's size."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    if not worker:
        made, sent = await prepare.json_body(raw, settings, "tenant", claim())
        assert isinstance(sent, bytes)
        return made, json.loads(sent), sent is not raw
    with body_file(raw) as given:
        made, sent = await prepare.json_body(given, settings, "tenant", claim())
        assert isinstance(sent, BodyFile)
        with closing(sent):
            return made, json.loads(sent.read()), sent is not given


def body_file(content: bytes) -> closing[BodyFile]:
    file = BodyFile("body")
    write_all(file.fd, content)
    return closing(file)


def chat(content: Any, **further: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **further}


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(b"x").decode()}}
ALIKE: list[tuple[str, dict[str, Any]]] = [
    (CHAT, chat("hello")),
    (CHAT, chat("hello", stream=True, temperature=0.5)),
    (CHAT, chat("hello", stream=True, stop=["x"])),
    (CHAT, chat([PICTURE, {"type": "text", "text": "what is it?"}], cache_salt="mine")),
    (CHAT, chat([PICTURE] * 3, stream=True, stream_options={"include_usage": True})),
    (COMPLETIONS, {"model": "m", "prompt": "hello", "max_tokens": 7}),
    (COMPLETIONS, {"model": "m", "prompt": [1, 2, 3], "stream": True, "return_token_ids": True}),
    (COMPLETIONS, {"model": "m", "prompt": ["a", "b"]}),
    (COMPLETIONS, {"model": "m", "prompt": [2**70]}),
    (COMPLETIONS, {"model": "unknown", "prompt": "hello"}),
    ("/v1/responses", {"model": "m", "input": "hello"}),
    (CHAT, chat("hello", logit_bias=7)),
]


@pytest.mark.parametrize("route_and_body", ALIKE)
@pytest.mark.parametrize("resumes", [True, False])
async def test_workers_prepare_as_the_event_loop_does(
    prepare: Preparer, route_and_body: tuple[str, dict[str, Any]], resumes: bool
) -> None:
    route, body = route_and_body
    by_route = settings(route, tenant_salt="t", resumes=resumes)
    (inline, sent, changed), (worked, sent_by_worker, changed_by_worker) = [
        await prepared(prepare, body, by_route, worker) for worker in (False, True)
    ]
    for made in (inline, worked):
        if made.prompt is not None:
            made.prompt = replace(made.prompt, token_ids=list(made.prompt.token_ids), media=tuple(made.prompt.media))
    assert inline == worked
    assert (sent, changed) == (sent_by_worker, changed_by_worker)


async def test_a_long_prompt_is_rendered_salted_and_passed_on(prepare: Preparer) -> None:
    made, sent, changed = await prepared(prepare, chat("a" * 100_000), settings(tenant_salt="t"), worker=True)
    assert made.prompt is not None
    assert changed
    assert made.tokens == len(made.prompt.token_ids) > 10_000
    assert sent["cache_salt"] == made.salt == engine_salt("t", "")
    assert sent["kv_transfer_params"]["prompt_token_ids"] == list(made.prompt.token_ids)


async def test_many_at_once_are_each_answered_with_their_own(prepare: Preparer) -> None:
    bodies = [chat(f"{number} " * 3000) for number in range(20)]
    made = await asyncio.gather(*(prepared(prepare, body, settings(), worker=True) for body in bodies))
    prompts = [one.prompt.token_ids[1:3] if one.prompt else None for one, _, _ in made]
    assert [list(ids or ()) for ids in prompts] == [encode(f"{number} " * 3)[:2] for number in range(20)]


@pytest.mark.parametrize("worker", [False, True])
@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        (b"{" * 10, "not valid JSON", None),
        (b"[" * 100_000, "not valid JSON", None),
        (b"[]", "a JSON array; send an object", None),
        (b"{}", "must provide a `model`", "model"),
        (json.dumps({"model": "m" * 1001}).encode(), "over 1000 characters", "model"),
        (json.dumps(chat("a", stream=1)).encode(), "send true or false", "stream"),
        (json.dumps(chat(7)).encode(), "must be a string or an array", "messages"),
        (json.dumps(chat([{"type": "image_url", "uuid": "theirs"}])).encode(), "sends no media", "messages"),
        (
            json.dumps(chat([{"type": "image_url", "image_url": {"url": "http://x.example/a.png"}}])).encode(),
            "media_domains",
            "messages",
        ),
    ],
)
async def test_a_body_that_cannot_be_used_is_refused_alike(
    prepare: Preparer, worker: bool, body: bytes, message: str, param: str | None
) -> None:
    with pytest.raises(ApiError, match=message) as raised:
        await prepared(prepare, body, settings(), worker)
    assert (raised.value.status, raised.value.param) == (400, param)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"model": "m", "x": [' + b"[]," * 1_000_000 + b"0]}", id="millions of lists"),
        pytest.param(b'{"model": "m", "messages": [' + b'{"role":"user"},' * 200_000 + b"0]}", id="many messages"),
        pytest.param(b'{"model": "m", "x": ' + b"[" * 500_000 + b"]" * 500_000 + b"}", id="deep nesting"),
        pytest.param(b'{"model": "m", "prompt": [' + b"1," * 1_000_000 + b"0]}", id="millions of token ids"),
        pytest.param(b'{"model": "m", "x": ' + b"9" * 2_000_000 + b"}", id="a huge number"),
    ],
)
async def test_the_event_loop_stands_still_for_no_body(
    prepare: Preparer, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the thread's CPU that counts: other processes may hold this one up on a busy machine."""
    monkeypatch.setattr(pool_module, "CPU_S", 0.2)
    longest = 0.0
    with body_file(body) as file:
        job = asyncio.create_task(prepare.json_body(file, settings(COMPLETIONS), "tenant", claim()))
        while not job.done():
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)
        refusal = (await asyncio.gather(job, return_exceptions=True))[0]
    assert not isinstance(refusal, ApiError) or refusal.status == 400
    assert longest < 0.05
    assert (await prepared(prepare, chat("still here"), settings(), worker=True))[0].prompt is not None


async def test_what_takes_too_long_is_refused_and_never_sent(
    prepare: Preparer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "CPU_S", 0.05)
    body = chat("ä " * 3_000_000)
    with pytest.raises(ApiError, match=r"more than 0\.05 s of CPU; send a shorter") as raised:
        await prepared(prepare, body, settings(), worker=True)
    assert (raised.value.status, raised.value.code) == (400, "body_too_complex")
