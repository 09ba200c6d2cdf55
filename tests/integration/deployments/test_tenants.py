"""Keys, limits and wishes at the gateway's door, over fakes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import openai
import pytest
from aiohttp import web
from openai import AsyncOpenAI
from prometheus_client.parser import text_string_to_metric_families

from cluster.fleet import Fleet, Limits, Model, Operator, Task, Tenant
from cluster.keys import digest, new_key
from deployments.gateway.identity.tenants import Tenants
from tests.support.engine_keys import engine_keys
from tests.support.front import Engine, Front, front, until
from tests.support.http import recording
from tests.support.processes import HOST, fake_fleet, fake_pool, replica_info

OURS, THEIRS, OPERATOR = new_key(), new_key(), new_key()
COMPLETIONS = "/v1/completions"
BODY = {"model": "m", "prompt": "hello", "max_tokens": 4}
ANSWERED_WITH_A_KEY = {"/v1/models": OURS, "/v1/models/m": OURS, "/fleet": OURS, "/metrics": OPERATOR}


def tenants(**ours: Any) -> list[Tenant]:
    return [
        Tenant(name="ours", key_sha256=[digest(OURS)], **ours),
        Tenant(name="theirs", key_sha256=[digest(THEIRS)], models=["other"]),
    ]


def with_tenants(fleet: Fleet, **ours: Any) -> Fleet:
    """The fleet with two tenants, of which the second may use only a model that has no replica."""
    other = Model(name="other", task=Task.CHAT, checkpoint="c", pools=[fake_pool()])
    operators = [Operator(name="us", key_sha256=[digest(OPERATOR)])]
    changes = {"models": [*fleet.models, other], "tenants": tenants(**ours), "operators": operators}
    return fleet.model_copy(update=changes)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def sdk(gateway: Front, key: str = OURS) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0, timeout=20)


async def ask(
    gateway: Front, headers: dict[str, str] | None = None, path: str = COMPLETIONS, **fields: Any
) -> tuple[aiohttp.ClientResponse, Any]:
    sent = {**bearer(OURS), **(headers or {})}
    async with gateway.session.post(path, json={**BODY, **fields}, headers=sent) as answer:
        return answer, await answer.json()


async def raw(gateway: Front, head: bytes) -> bytes:
    """What comes back for a head after which nothing more is sent."""
    reader, writer = await asyncio.open_connection(HOST, gateway.server.port)
    try:
        writer.write(head)
        return await asyncio.wait_for(reader.readuntil(b"}}"), 5)
    except asyncio.IncompleteReadError as ended:
        return ended.partial
    finally:
        writer.close()


@pytest.fixture
async def door(engines: tuple[Engine, Engine]) -> AsyncIterator[Front]:
    engine = engines[0]
    async with front(with_tenants(fake_fleet(engine.pool)), [engine.announced()]) as made:
        yield made


def limited(engine: Engine, **limits: Any) -> AbstractAsyncContextManager[Front]:
    fleet = with_tenants(fake_fleet(engine.pool, task=engine.task), limits=Limits(**limits))
    return front(fleet, [engine.announced()])


async def test_the_sdk_with_a_key(door: Front) -> None:
    async with sdk(door) as client:
        whole = await client.completions.create(model="m", prompt="x", max_tokens=3)
        assert whole.usage is not None
        stream = await client.completions.create(model="alias", prompt="x", max_tokens=3, stream=True)
        assert "".join([chunk.choices[0].text async for chunk in stream]) == whole.choices[0].text
        assert [model.id async for model in client.models.list()] == ["m", "alias", "other"]


async def test_the_sdk_with_a_wrong_key(door: Front) -> None:
    async with sdk(door, OURS.swapcase()) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.completions.create(model="m", prompt="x")
        assert (refused.value.code, refused.value.type) == ("invalid_api_key", "invalid_request_error")
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()


async def test_a_tenant_sees_and_uses_only_its_models(door: Front) -> None:
    async with sdk(door, THEIRS) as client:
        assert [model.id async for model in client.models.list()] == ["other"]
        told = []
        for name in ("m", "alias", "nowhere"):
            with pytest.raises(openai.NotFoundError) as missing:
                await client.completions.create(model=name, prompt="x")
            assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
            told.append(missing.value.message.replace(f"'{name}'", "it"))
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve(name)
        assert len(set(told)) == 1, "one that is there is told like one that is not"
        assert "you may use other" in told[0]
    async with door.session.get("/fleet", headers=bearer(THEIRS)) as answer:
        assert [model["name"] for model in (await answer.json())["models"]] == ["other"]


async def test_only_what_a_load_balancer_asks_needs_no_key(door: Front) -> None:
    for path, status in (("/health", 200), ("/ready", 503)):
        async with door.session.get(path) as answer:
            assert answer.status == status
    for path, key in ANSWERED_WITH_A_KEY.items():
        async with door.session.get(path) as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="fakes"'
        async with door.session.get(path, headers=bearer(key)) as answer:
            assert answer.status == 200


async def test_without_tenants_any_key_will_do(two: Front) -> None:
    for headers in ({}, bearer("none"), {"Authorization": "?"}):
        async with two.session.post(COMPLETIONS, json=BODY, headers=headers) as answer:
            assert answer.status == 200
            assert not [name for name in answer.headers if name.startswith("x-ratelimit")]


@pytest.mark.parametrize("authorization", [b"", b"Authorization: Bearer wrong\r\n"], ids=["none", "wrong"])
async def test_the_body_is_not_waited_for(door: Front, authorization: bytes) -> None:
    head = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n" + authorization + b"\r\n"
    assert (await raw(door, head)).startswith(b"HTTP/1.1 401 ")


HOSTILE = {
    "empty": b"",
    "no key": b"Bearer ",
    "wrong scheme": b"Basic " + OURS.encode(),
    "no scheme": OURS.encode(),
    "wrong case": b"Bearer " + OURS.swapcase().encode(),
    "5 kB": b"Bearer " + OURS.encode() + b"x" * 5_000,
    "unicode": "Bearer ключ-".encode() + OURS.encode(),
    "no text": b"Bearer \xff\xfe" + OURS.encode(),
    "two": b"Bearer wrong\r\nAuthorization: Bearer " + OURS.encode(),
    "10 kB": b"Bearer " + OURS.encode() + b"x" * 10_000,
    "a null byte": b"Bearer " + OURS.encode() + b"\x00",
}
NO_HTTP = ("10 kB", "a null byte")


@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_keys(door: Front, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nAuthorization: " + HOSTILE[kind]
    answer = await raw(door, head + b"\r\n\r\n{}")
    if kind in NO_HTTP:
        assert b" 400 " in answer.splitlines()[0], "aiohttp's own answer, to the sender alone"
        assert "malformed HTTP" in caplog.text
    else:
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert OURS.encode() not in answer
    assert OURS[9:19] not in caplog.text, "nor a part of it"
    assert (await ask(door))[0].status == 200


async def test_no_log_and_no_answer_holds_a_key(
    door: Front, engines: tuple[Engine, Engine], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [
        await ask(door),
        await ask(door, model="nope"),
        await ask(door, prompt=5),
        await ask(door, path="/v1/nothing"),
        await ask(door, {"x-priority": "?"}),
        await ask(door, bearer(OURS + "x")),
    ]
    await engines[0].fault(fail_next=1)
    answers.append(await ask(door))
    door.server.state.directory.find = None  # type: ignore[method-assign, assignment]  # the gateway's own failure
    answers.append(await ask(door))
    del door.server.state.directory.find
    assert [answer.status for answer, _ in answers] == [200, 404, 400, 404, 400, 401, 500, 500]
    shown = "".join(f"{answer.headers} {body}" for answer, body in answers)
    for path in ANSWERED_WITH_A_KEY:
        async with door.session.get(path, headers=bearer(OURS)) as answer:
            shown += f"{answer.headers} {await answer.text()}"
    assert "Traceback" in caplog.text
    shown += caplog.text + "".join(capfd.readouterr())
    for secret in (OURS, digest(OURS), THEIRS, digest(THEIRS)):
        assert secret[9:19] not in shown


async def test_a_replica_does_not_see_the_key() -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(str(request.raw_headers) + await request.text())
        return web.json_response({"id": "x", "choices": []})

    app = web.Application()
    app.router.add_post(COMPLETIONS, answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    pool = fake_pool()
    try:
        url = f"http://{HOST}:{runner.addresses[0][1]}"
        replica = replica_info(url, pool)
        async with front(with_tenants(fake_fleet(pool)), [replica]) as gateway:
            assert (await ask(gateway))[0].status == 200
    finally:
        await runner.cleanup()
    assert len(seen) == 1
    assert OURS not in seen[0]
    assert seen[0].lower().count("authorization") == 1
    assert engine_keys().headers(url)["Authorization"] in seen[0], "the fleet's own key, and no other"


async def test_a_limit_of_requests(engines: tuple[Engine, Engine]) -> None:
    async with limited(engines[0], requests_per_minute=3) as gateway, sdk(gateway) as client:
        for left in (2, 1, 0):
            answer = await client.completions.with_raw_response.create(model="m", prompt="x", max_tokens=1)
            assert answer.headers["x-ratelimit-limit-requests"] == "3"
            assert answer.headers["x-ratelimit-remaining-requests"] == str(left)
        with pytest.raises(openai.RateLimitError) as refused:
            await client.completions.create(model="m", prompt="x")
        assert refused.value.code == "rate_limit_exceeded"
        headers = refused.value.response.headers
        assert 0 < int(headers["retry-after"]) <= 20
        assert 0 < int(headers["retry-after-ms"]) <= 20_000
        assert headers["x-ratelimit-remaining-requests"] == "0"
        assert len(headers["x-request-id"]) == 32
        assert [model.id async for model in client.models.list()], "which is not work"
        async with gateway.session.get("/metrics", headers=bearer(OPERATOR)) as told:
            families = {family.name: family for family in text_string_to_metric_families(await told.text())}
    counts = {
        (name, sample.labels["tenant"], sample.labels.get("status") or sample.labels["limit"]): sample.value
        for name in ("gateway_tenant_requests", "gateway_limit_refusals")
        for sample in families[name].samples
        if sample.name.endswith("_total")
    }
    assert counts == {
        ("gateway_tenant_requests", "ours", "200"): 3,
        ("gateway_tenant_requests", "ours", "429"): 1,
        ("gateway_limit_refusals", "ours", "requests"): 1,
    }


def left(answer: aiohttp.ClientResponse, unit: str = "tokens") -> int:
    return int(answer.headers[f"x-ratelimit-remaining-{unit}"])


async def test_tokens_are_settled_by_what_the_answer_used(engines: tuple[Engine, Engine]) -> None:
    limit = 10_000
    fleet = with_tenants(fake_fleet(engines[0].pool), limits=Limits(tokens_per_minute=limit))
    async with front(fleet, [engines[0].announced()]) as gateway:
        gateway.server.state.tenants = Tenants(fleet, clock=lambda: 0.0)  # nothing fills up meanwhile
        first, body = await ask(gateway, max_tokens=30)
        used = body["usage"]["total_tokens"]
        assert left(first) == limit - used
        failed, _ = await ask(gateway, max_tokens=-1)
        assert (failed.status, left(failed)) == (400, limit - used), "a failure costs nothing"
        missing, _ = await ask(gateway, model="nope")
        assert left(missing) == limit - used
        counted, _ = await ask(gateway, path="/tokenize")
        assert (counted.status, left(counted)) == (200, limit - used), "no work of the model's"
        async with gateway.session.post(COMPLETIONS, json={**BODY, "stream": True}, headers=bearer(OURS)) as stream:
            assert left(stream) < limit - used, "as estimated"
            await stream.read()


async def test_a_limit_of_tokens(engines: tuple[Engine, Engine]) -> None:
    async with limited(engines[0], tokens_per_minute=400) as gateway:
        large, body = await ask(gateway, max_tokens=500)
        assert (large.status, large.headers["x-should-retry"]) == (429, "false")
        assert "you may use 400 a minute; send a smaller one" in body["error"]["message"]
        answers = await asyncio.gather(*[ask(gateway, max_tokens=300) for _ in range(3)])
        assert sorted(answer.status for answer, _ in answers) == [200, 429, 429], "while the first one's is not known"


async def test_a_limit_of_audio(speech_engine: Engine) -> None:
    async with limited(speech_engine, audio_seconds_per_minute=10, tokens_per_minute=1) as gateway:
        statuses = []
        for _ in range(3):
            form = aiohttp.FormData({"model": "m"})
            form.add_field("file", recording(4), filename="a.wav")
            async with gateway.session.post("/v1/audio/transcriptions", data=form, headers=bearer(OURS)) as answer:
                statuses.append((answer.status, left(answer, "audio-seconds")))
        assert [status for status, _ in statuses] == [200, 200, 429]
        assert [seconds for _, seconds in statuses] == [6, 2, 2]


@pytest.mark.parametrize(
    ("header", "given"), [("x-deadline-ms", "soon"), ("x-session-id", "x" * 257), ("x-priority", "1.5")]
)
async def test_wishes_that_cannot_be_read(two: Front, header: str, given: str) -> None:
    async with two.session.post(COMPLETIONS, json=BODY, headers={header: given}) as answer:
        error = (await answer.json())["error"]
        assert (answer.status, error["param"], error["type"]) == (400, header, "invalid_request_error")


async def test_a_deadline_that_passes_before_the_work_begins(door: Front, engines: tuple[Engine, Engine]) -> None:
    before = (await engines[0].stats())["accepted"]
    answer, body = await ask(door, {"x-deadline-ms": "0.000001"})
    assert (answer.status, body["error"]["code"]) == (504, "deadline_exceeded")
    assert (await engines[0].stats())["accepted"] == before
    wishes = {"x-deadline-ms": "60000", "x-session-id": "agent 7", "x-priority": "-1"}
    assert (await ask(door, wishes))[0].status == 200


@pytest.mark.parametrize("hidden", [{"stream_options": None}, {"stream_options": {"include_usage": False}}, {}])
@pytest.mark.parametrize("prompt", ["hello", ["hello"] * 7])
async def test_streams_are_charged_by_what_was_computed_whatever_is_shown(
    engines: tuple[Engine, Engine], hidden: dict[str, Any], prompt: Any
) -> None:
    limit = 100_000
    fleet = with_tenants(fake_fleet(engines[0].pool), limits=Limits(tokens_per_minute=limit))
    async with front(fleet, [engines[0].announced()]) as gateway:
        gateway.server.state.tenants = Tenants(fleet, clock=lambda: 0.0)
        before = await engines[0].stats()
        body = {**BODY, "prompt": prompt, "max_tokens": 30, "ignore_eos": True, "stream": True, **hidden}
        async with gateway.session.post(COMPLETIONS, json=body, headers=bearer(OURS)) as stream:
            assert b'"usage":{' not in await stream.read()
        after = await engines[0].stats()
        computed = sum(after[name] - before[name] for name in ("prompt_tokens", "emitted_tokens"))
        assert limit - left((await ask(gateway, path="/tokenize"))[0]) == computed


@pytest.mark.parametrize(("fields", "least", "most"), [({}, 50, 400), ({"stop": ["never said"]}, 50, 4000)])
async def test_a_client_that_leaves_its_stream_is_charged_what_was_computed(
    engines: tuple[Engine, Engine], fields: dict[str, Any], least: int, most: int
) -> None:
    limit = 100_000
    fleet = with_tenants(fake_fleet(engines[0].pool), limits=Limits(tokens_per_minute=limit))
    async with front(fleet, [engines[0].announced()]) as gateway:
        gateway.server.state.tenants = Tenants(fleet, clock=lambda: 0.0)
        body = {**BODY, "max_tokens": 4000, "ignore_eos": True, "stream": True, **fields}
        async with gateway.session.post(COMPLETIONS, json=body, headers=bearer(OURS)) as stream:
            for _ in range(50 * 2):
                await stream.content.readline()
        await engines[0].until(running=0)
        await gateway.idle()
        charged = limit - left((await ask(gateway, path="/tokenize"))[0])
        assert least <= charged <= most


async def test_a_request_that_waits_in_vain_is_charged_nothing(engines: tuple[Engine, Engine]) -> None:
    limit = 100_000
    fleet = with_tenants(fake_fleet(engines[0].pool), limits=Limits(tokens_per_minute=limit))
    async with front(fleet, []) as gateway:
        gateway.server.state.tenants = Tenants(fleet, clock=lambda: 0.0)
        waiting = asyncio.create_task(ask(gateway, max_tokens=1000))
        await until(lambda: gateway.server.state.directory.models[0].admission.waiting == 1)
        waiting.cancel()
        await gateway.idle()
        assert left((await ask(gateway, model="nope"))[0]) == limit


async def test_concurrent_requests_wait_for_each_other(engines: tuple[Engine, Engine]) -> None:
    async with limited(engines[0], concurrent_requests=2) as gateway:
        answers = [asyncio.create_task(ask(gateway, max_tokens=200, ignore_eos=True)) for _ in range(8)]
        most = 0
        while not all(answer.done() for answer in answers):
            most = max(most, (await engines[0].stats())["running"])
        assert most == 2
        assert {answer.status for answer, _ in await asyncio.gather(*answers)} == {200}
        async with gateway.session.get("/metrics", headers=bearer(OPERATOR)) as told:
            assert "gateway_tenant_waiting_requests" in await told.text()


async def test_many_prompts_in_one_request_do_not_pass_a_limit_of_tokens(engines: tuple[Engine, Engine]) -> None:
    async with limited(engines[0], tokens_per_minute=3000) as gateway:
        answers = await asyncio.gather(*[ask(gateway, prompt=["a"] * 60, max_tokens=30) for _ in range(6)])
        used = sum(body["usage"]["total_tokens"] for answer, body in answers if answer.status == 200)
        assert 0 < used <= 3000
        assert [answer.status for answer, _ in answers].count(429) == 5
