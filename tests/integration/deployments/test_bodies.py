"""What clients may send as a body, and what else gets a 4xx with OpenAI's error object, on every route."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from PIL import Image

from cluster.fleet import Task
from tests.support.front import Engine, Front, front
from tests.support.http import form, part, recording
from tests.support.processes import fake_engine, fake_fleet, fake_pool

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
AUDIO_ROUTES = ("/v1/audio/transcriptions", "/v1/audio/translations")
BODY = json.dumps({"model": "m", "prompt": "hello", "max_tokens": 2}).encode()
SPEECH = form([part("file", recording(1), filename="a.wav"), part("model", b"m")], b"b")


async def send(gateway: Front, path: str, data: bytes, **headers: str) -> tuple[int, Any]:
    """The status and the JSON of the answer; of a refusal the error object itself."""
    async with gateway.session.post(path, data=data, headers=headers) as answer:
        assert "x-request-id" in answer.headers
        body = await answer.json()
        if answer.status < 400:
            return answer.status, body
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "param", "code"}
        return answer.status, body["error"]


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_compressed_bodies_are_read(two: Front, speech: Front, encoding: str, compress: Any) -> None:
    json_headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    status, answer = await send(two, COMPLETIONS, compress(BODY), **json_headers)
    assert (status, answer["usage"]["completion_tokens"]) == (200, 2)
    form_headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Encoding": encoding}
    for path in AUDIO_ROUTES:
        assert (await send(speech, path, compress(SPEECH), **form_headers))[0] == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_is_not_encoded_as_it_says_is_refused(two: Front, speech: Front, encoding: str) -> None:
    assert (await send(two, COMPLETIONS, BODY, **{"Content-Encoding": encoding}))[0] == 400
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Encoding": encoding}
    for path in AUDIO_ROUTES:
        assert (await send(speech, path, SPEECH, **headers))[0] == 400


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "nonsense"])
async def test_unknown_encodings_are_refused(two: Front, speech: Front, encoding: str) -> None:
    assert (await send(two, COMPLETIONS, BODY, **{"Content-Encoding": encoding}))[0] == 415
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Encoding": encoding}
    for path in AUDIO_ROUTES:
        assert (await send(speech, path, SPEECH, **headers))[0] == 415


async def test_a_gzip_bomb_is_too_large_and_leaves_the_budget_whole(two: Front) -> None:
    bomb = gzip.compress(b'{"model": "m", "prompt": "' + b"a" * 100_000_000)
    assert (await send(two, COMPLETIONS, bomb, **{"Content-Encoding": "gzip"}))[0] == 413
    assert two.server.state.bytes.in_flight == 0


@pytest.mark.parametrize("path", AUDIO_ROUTES)
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data; boundary=" + "b" * 300, form([part("model", b"m")], b"b" * 300)),
        ("multipart/form-data", SPEECH),
        ("multipart/form-data; boundary=", SPEECH),
        ("multipart/form-data; boundary=other", SPEECH),
        ("application/json", BODY),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", SPEECH[:-10]),
        ("multipart/form-data; boundary=b", form([b"no colon\r\n\r\nx"], b"b")),
        ("multipart/form-data; boundary=b", form([b"\r\n\r\nx"], b"b")),
        ("multipart/form-data; boundary=b", form([part("file", b"x"), part("file", b"x")], b"b")),
        ("multipart/form-data; boundary=b", form([part("model", b"m"), part("model", b"n")], b"b")),
    ],
)
async def test_multipart_oddities_are_refused(speech: Front, path: str, content_type: str, body: bytes) -> None:
    status, error = await send(speech, path, body, **{"Content-Type": content_type})
    assert (status, error["type"]) == (400, "invalid_request_error")


async def test_a_client_without_encodings_still_works_after_all_of_them(speech: Front) -> None:
    data = aiohttp.FormData({"model": "m"})
    data.add_field("file", recording(1), filename="a.wav")
    async with speech.session.post(AUDIO_ROUTES[0], data=data) as answer:
        assert answer.status == 200


UNKNOWN = {"invented": 1, "priority": -5, "kv_transfer_params": {"x": 1}, "vllm_xargs": {"kv_transfer_params": {}}}


async def test_unknown_fields_are_dropped_and_named(two: Front, speech: Front) -> None:
    _, _, answer = await two.ask(**UNKNOWN)
    assert answer.status == 200
    assert answer.headers["x-unknown-fields"] == "invented, priority, kv_transfer_params, vllm_xargs"
    _, _, plain = await two.ask()
    assert "x-unknown-fields" not in plain.headers
    for path in AUDIO_ROUTES:
        data = aiohttp.FormData({"model": "m", "invented": "1", "vllm_xargs": "{}"})
        data.add_field("file", recording(1), filename="a.wav")
        async with speech.session.post(path, data=data) as response:
            assert response.status == 200
            assert response.headers["x-unknown-fields"] == "invented, vllm_xargs"


async def test_a_fleet_can_refuse_unknown_fields(engines: tuple[Engine, Engine], speech_engine: Engine) -> None:
    fleet = fake_fleet(engines[0].pool, unknown_fields="refuse")
    async with front(fleet, [engines[0].announced()]) as strict:
        status, body, _ = await strict.ask(invented=1)
        assert (status, body["error"]["param"], body["error"]["code"]) == (400, "invented", "unknown_field")
        assert (await strict.ask())[0] == 200
    fleet = fake_fleet(speech_engine.pool, task=Task.TRANSCRIPTION, unknown_fields="refuse")
    async with front(fleet, [speech_engine.announced()]) as strict:
        for path in AUDIO_ROUTES:
            extended = form([part("file", recording(1)), part("model", b"m"), part("odd", b"1")], b"b")
            headers = {"Content-Type": "multipart/form-data; boundary=b"}
            status, error = await send(strict, path, extended, **headers)
            assert (status, error["param"]) == (400, "odd")


async def test_a_byte_order_mark_before_a_body_is_nothing(two: Front) -> None:
    assert (await send(two, COMPLETIONS, b"\xef\xbb\xbf" + BODY))[0] == 200
    long = json.dumps({"model": "m", "prompt": "a" * 5000, "max_tokens": 1}).encode()
    assert (await send(two, COMPLETIONS, b"\xef\xbb\xbf" + long))[0] == 200


def _pictured(url: str) -> bytes:
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "what is it?"}]
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": parts}], "max_tokens": 1}).encode()


def _png(width: int, height: int) -> str:
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@pytest.fixture(scope="module")
def seeing_engine() -> Iterator[Engine]:
    """One that takes pictures."""
    pool = fake_pool("v", decode_step_s=0.002)
    with fake_engine(pool, Task.VISION_CHAT) as url:
        yield Engine(url, pool, Task.VISION_CHAT)


@pytest.mark.parametrize(
    "url", [_png(14_000, 14_000), "data:image/svg+xml;utf8,<svg/>", "data:,hello"], ids=["bomb", "svg", "text"]
)
async def test_media_that_engines_fail_on_is_refused_without_them(seeing_engine: Engine, url: str) -> None:
    before = (await seeing_engine.stats())["accepted"]
    headers = {"Content-Type": "application/json"}
    async with front(fake_fleet(seeing_engine.pool, task=Task.VISION_CHAT), [seeing_engine.announced()]) as seeing:
        status, error = await send(seeing, CHAT, _pictured(url), **headers)
        assert (status, error["param"], error["code"]) == (400, "messages", "media_invalid")
        assert (await seeing_engine.stats())["accepted"] == before
        assert (await send(seeing, CHAT, _pictured(_png(20, 20)), **headers))[0] == 200


async def test_media_by_address_reaches_an_engine_as_data(seeing_engine: Engine) -> None:
    """And where the fleet file does not except loopback, nothing is fetched from it."""
    fetched: list[str] = []

    async def picture(request: web.BaseRequest) -> web.Response:
        fetched.append(request.path)
        return web.Response(body=base64.b64decode(_png(20, 20).partition(",")[2]), content_type="image/png")

    runner = web.ServerRunner(web.Server(picture))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    body = _pictured(f"http://127.0.0.1:{runner.addresses[0][1]}/picture.png")
    engine, headers = seeing_engine, {"Content-Type": "application/json"}
    allowed = {"media_domains": ["127.0.0.1"], "task": Task.VISION_CHAT}
    try:
        async with front(fake_fleet(engine.pool, **allowed), [engine.announced()]) as closed:
            status, error = await send(closed, CHAT, body, **headers)
            assert (status, error["code"], fetched) == (400, "media_not_fetched", [])
        fleet = fake_fleet(engine.pool, **allowed, media_networks=["127.0.0.0/8"])
        async with front(fleet, [engine.announced()]) as opened:
            assert (await send(opened, CHAT, body, **headers))[0] == 200
            assert fetched == ["/picture.png"]
            assert opened.server.state.bytes.in_flight == 0
    finally:
        await runner.cleanup()
