"""Whatever a client sends, it gets the right 4xx, nothing hangs, and both gateway and engine go on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.support.front import Engine, Front
from tests.support.http import recording

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
SPEECH = "/v1/audio/transcriptions"
HELLO = [{"role": "user", "content": "Hello"}]
MIB = 2**20


async def error(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    body = await answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert len(body["error"]["message"]) > 8
    found: dict[str, Any] = body["error"]
    return found


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (CHAT, {"model": "nope", "messages": HELLO}, 404),
        (CHAT, {"messages": HELLO}, 400),
        (CHAT, {"model": ["m"], "messages": HELLO}, 400),
        (CHAT, {"model": "m"}, 400),
        (CHAT, {"model": "m", "messages": "hello"}, 400),
        (CHAT, {"model": "m", "messages": [{"role": "emperor", "content": "x"}]}, 400),
        (CHAT, {"model": "m", "messages": HELLO, "max_tokens": -5}, 400),
        (CHAT, {"model": "m", "messages": HELLO, "max_tokens": "many"}, 400),
        (CHAT, {"model": "m", "messages": HELLO, "stream": "yes"}, 400),
        (CHAT, {"model": "m", "messages": [{"type": []}], "tools": {"type": {}}}, 400),
        (COMPLETIONS, {"model": "m", "prompt": "x", "max_tokens": -1, "stream": True}, 400),
        (COMPLETIONS, {"model": "m", "prompt": {"a": 1}}, 400),
        (COMPLETIONS, {"model": "m", "prompt": ""}, 400),
        (COMPLETIONS, {"model": "m", "prompt": [1] * 200_000}, 400),
        ("/v1/responses", {"model": "m", "input": 5}, 400),
        ("/tokenize", {"model": "m"}, 400),
        ("/detokenize", {"model": "m", "tokens": ["x"]}, 400),
        ("/v1/embeddings", {"model": "m", "input": "x"}, 404),
        ("/v1/nothing", {"model": "m"}, 404),
        ("/", {}, 404),
    ],
)
async def test_bodies_that_are_wrong(two: Front, path: str, body: dict[str, Any], status: int) -> None:
    async with two.session.post(path, json=body) as answer:
        assert answer.status == status, await answer.text()
        assert (await error(answer))["type"] == "invalid_request_error"
        assert answer.headers["Content-Type"].startswith("application/json")
    assert (await two.ask())[0] == 200


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"model": "m"', b"{}" * 2, b"[" * 100_000])
async def test_bodies_that_are_no_json_object(two: Front, raw: bytes) -> None:
    for content_type in ("application/json", "text/plain"):
        async with two.session.post(CHAT, data=raw, headers={"Content-Type": content_type}) as answer:
            assert answer.status == 400
            await error(answer)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", CHAT, 405), ("DELETE", COMPLETIONS, 405), ("GET", SPEECH, 405), ("PUT", "/v1/responses", 405)],
)
async def test_wrong_methods(two: Front, method: str, path: str, status: int) -> None:
    async with two.session.request(method, path) as answer:
        assert answer.status == status
        assert "takes POST" in (await error(answer))["message"]


async def test_routes_of_other_models(two: Front, speech: Front) -> None:
    form = aiohttp.FormData({"model": "m"})
    form.add_field("file", recording(1), filename="a.wav")
    async with two.session.post(SPEECH, data=form) as answer:
        assert answer.status == 404
        assert "it offers /v1/chat/completions" in (await error(answer))["message"]
    status, body, _ = await speech.ask(CHAT, messages=HELLO)
    assert (status, body["error"]["code"]) == (404, "route_not_offered")
    assert "it offers /v1/audio/transcriptions" in body["error"]["message"]


@pytest.mark.parametrize("told", [True, False], ids=["with length", "chunked"])
async def test_fifty_megabytes_of_json(two: Front, told: bool) -> None:
    raw = b'{"model": "m", "prompt": "' + b"x" * 50 * MIB + b'"}'

    async def pieces() -> Any:
        for at in range(0, len(raw), MIB):
            yield raw[at : at + MIB]

    await refused_as_too_large(two, CHAT, raw if told else pieces(), "application/json")


@pytest.mark.parametrize("told", [True, False], ids=["with length", "chunked"])
async def test_fifty_megabytes_of_upload(speech: Front, told: bool) -> None:
    form = aiohttp.FormData({"model": "m"})
    form.add_field("file", bytes(50 * MIB), filename="a.wav")
    whole = form()

    async def pieces() -> Any:
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        yield head
        for _ in range(50):
            yield bytes(MIB)

    content_type = whole.headers["Content-Type"] if told else "multipart/form-data; boundary=b"
    await refused_as_too_large(speech, SPEECH, whole if told else pieces(), content_type)


async def refused_as_too_large(gateway: Front, path: str, data: Any, content_type: str) -> None:
    try:
        async with gateway.session.post(path, data=data, headers={"Content-Type": content_type}) as answer:
            assert answer.status == 413
            assert "send a smaller one" in (await error(answer))["message"]
    except aiohttp.ClientError:
        pass  # the connection was closed under the client's hands: clean, if not kind
    async with gateway.session.get("/v1/models") as answer:
        assert answer.status == 200


async def test_a_client_that_reads_first_gets_its_413(two: Front) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", two.server.port)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {50 * MIB}\r\n\r\n"
    writer.write(head.encode())
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 413 ")
    writer.close()


@pytest.mark.parametrize("size", [1024, 2 * MIB, 24 * MIB], ids=["1 KB", "2 MB", "24 MB"])
async def test_uploads_of_every_size_that_is_allowed(speech: Front, size: int) -> None:
    form = aiohttp.FormData({"response_format": "verbose_json"})
    sound = recording((size - 44) / 32_000)
    form.add_field("file", sound, filename="a.wav", content_type="audio/wav")
    form.add_field("model", "m")
    async with speech.session.post(SPEECH, data=form) as answer:
        assert answer.status == 200, await answer.text()
        assert (await answer.json())["duration"] == pytest.approx(len(sound[44:]) / 32_000)


@pytest.mark.parametrize(
    ("fields", "file", "status", "words"),
    [
        ({}, b"RIFF", 400, "must provide a `model`"),
        ({"model": "nope"}, b"RIFF", 404, "does not exist"),
        ({"model": "m"}, b"", 400, "file is empty"),
        ({"model": "m"}, bytes(25 * MIB + 1), 413, "25 MiB"),
        ({"model": "m", "response_format": "srt"}, b"RIFF", 400, "response_format"),
        ({"model": "m", "max_completion_tokens": "-3"}, b"RIFF", 400, "at least 1"),
        ({"model": "m", "prompt": "x" * 300_000}, b"RIFF", 413, "form field 'prompt'"),
    ],
)
async def test_uploads_that_are_wrong(
    speech: Front, fields: dict[str, str], file: bytes, status: int, words: str
) -> None:
    form = aiohttp.FormData(fields)
    form.add_field("file", file, filename="a.wav")
    async with speech.session.post(SPEECH, data=form) as answer:
        assert answer.status == status
        assert words in (await error(answer))["message"]


async def test_uploads_that_are_no_form(speech: Front) -> None:
    async with speech.session.post(SPEECH, json={"model": "m", "file": "x"}) as answer:
        assert answer.status == 400
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for raw in (b"", b"--b", b"--b\r\n\r\n", b"nonsense" * 1000):
        async with speech.session.post(SPEECH, data=raw, headers=headers) as answer:
            assert answer.status == 400
            await error(answer)
    raw_head = {"Content-Type": "multipart/form-data; boundary=\u5883"}
    async with speech.session.post(SPEECH, data=b"x", headers=raw_head) as answer:
        assert answer.status == 400


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_goes_away_frees_the_engine_and_the_booking(
    two: Front, engines: tuple[Engine, Engine], stream: bool
) -> None:
    before = [(await engine.stats())["aborted"] for engine in engines]
    tasks = [asyncio.create_task(two.ask(max_tokens=100_000, stream=stream)) for _ in range(4)]
    async with asyncio.timeout(5):
        while sum([(await engine.stats())["running"] for engine in engines]) < 4:  # noqa: ASYNC110  # another's state
            await asyncio.sleep(0.02)
    assert sum(int(s.router.table.open_requests.sum()) for s in two.server.state.directory.models) == 4
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await two.idle()
    for engine in engines:
        await engine.until(running=0, waiting=0, blocks_in_use=0)
    after = [(await engine.stats())["aborted"] for engine in engines]
    assert sum(after) - sum(before) == 4


async def test_a_client_that_goes_away_in_the_middle_of_its_upload(speech: Front, speech_engine: Engine) -> None:
    before = (await speech_engine.stats())["accepted"]
    _, writer = await asyncio.open_connection("127.0.0.1", speech.server.port)
    writer.write(
        f"POST {SPEECH} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {3 * MIB}\r\n\r\n"
        "--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n".encode()
    )
    writer.write(bytes(2 * MIB))
    await writer.drain()
    writer.close()
    await speech.idle()
    assert (await speech_engine.stats())["accepted"] == before
    async with speech.session.get("/health") as answer:
        assert answer.status == 200


async def test_values_of_known_fields_are_the_engines_to_judge(two: Front) -> None:
    body = json.dumps({"model": "alias", "prompt": "x", "max_tokens": 1, "invented": {"a": [1, None]}, "n": 2})
    async with two.session.post(COMPLETIONS, data=body) as answer:
        assert answer.status == 400
        assert (await error(answer))["param"] == "n"
