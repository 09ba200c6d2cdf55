"""What clients may send as a body, and what else gets a 4xx with OpenAI's error object, on every route."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import aiohttp
import pytest

from tests.support.front import Front
from tests.support.http import form, part, recording

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
    assert two.server.bytes.in_flight == 0


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
