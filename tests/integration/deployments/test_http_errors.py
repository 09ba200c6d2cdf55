"""What is no well-formed HTTP request gets OpenAI's error object with an `x-request-id`, and nothing of it is a 500."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.support.front import Front

CHAT = "/v1/chat/completions"
POST = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
LONG = b"x" * 9000


async def answer(gateway: Front, raw: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to these bytes on a connection of their own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.server.port)
    writer.write(raw)
    async with asyncio.timeout(10):
        status = int((await reader.readline()).split()[1])
        headers = {}
        while (line := await reader.readline()).strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = await reader.readexactly(int(headers["content-length"]))
    writer.close()
    return status, headers, body


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"GET /health HTTP/1.1\r\nHost: x\r\nCookie: " + LONG + b"\r\n\r\n", id="a long cookie"),
        pytest.param(b"GET /" + LONG + b" HTTP/1.1\r\nHost: x\r\n\r\n", id="a long URL"),
        pytest.param(b"GET / HTTP/1.1\r\n" + LONG + b": x\r\n\r\n", id="a long header name"),
        pytest.param(b"nonsense\r\n\r\n", id="no request line"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="TLS"),
        pytest.param(b"GET /health HTTP/9.9\r\nHost: x\r\n\r\n", id="an unknown version"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", id="a control character"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", id="a header without a colon"),
        pytest.param(POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}", id="Content-Length overflows"),
        pytest.param(POST + b"Content-Length: -1\r\n\r\n{}", id="Content-Length is negative"),
        pytest.param(POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", id="two Content-Lengths"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", id="a bad chunk"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n", id="both"),
        pytest.param(POST + b"Transfer-Encoding: gzip\r\n\r\n{}", id="an unknown transfer encoding"),
    ],
)
async def test_malformed_http_gets_an_error_object_with_an_id(two: Front, raw: bytes) -> None:
    status, headers, body = await answer(two, raw)
    assert 400 <= status < 500, body
    assert headers["content-type"].startswith("application/json")
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert len(headers["x-request-id"]) == 32
    assert "xxx" not in error["message"]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n", id="no Host"),
        pytest.param(
            b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + b"X-A: b\r\n" * 200 + b"\r\n",
            id="200 headers",
        ),
        pytest.param(
            POST + b"Expect: \xff\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", id="a raw byte in Expect"
        ),
        pytest.param(POST + b"Expect: tea\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", id="an unknown Expect"),
    ],
)
async def test_odd_but_readable_http_is_answered(two: Front, raw: bytes) -> None:
    status, headers, _ = await answer(two, raw)
    assert status < 500
    assert "x-request-id" in headers


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("POST", "/v1/models", 405, "GET, HEAD"),
        ("POST", "/health", 405, "GET, HEAD"),
        ("DELETE", "/metrics", 405, "GET, HEAD"),
        ("GET", CHAT, 405, "POST"),
        ("PUT", "/v1/models/m", 405, "GET, HEAD"),
        ("GET", "/nothing", 404, None),
        ("POST", "/nothing/" + "x" * 5000, 404, None),
        ("GET", "/health", 200, None),
        ("GET", "/v1/models", 200, None),
        ("GET", "/fleet", 200, None),
        ("GET", "/v1/models/" + "x" * 5000, 404, None),
    ],
)
async def test_every_answer_has_an_id_and_405_says_what_is_allowed(
    two: Front, method: str, path: str, status: int, allow: str | None
) -> None:
    async with two.session.request(method, path, headers={"x-request-id": "my-id"}) as response:
        assert response.status == status
        assert response.headers["x-request-id"] == "my-id"
        assert response.headers.get("Allow") == allow
        assert len(await response.read()) < 20_000 if status == 200 else len(await response.read()) < 1000


async def test_a_long_model_name_is_shortened(two: Front) -> None:
    status, body, _ = await two.ask(model="x" * 900)
    assert status == 404
    assert len(body["error"]["message"]) < 300
    status, body, _ = await two.ask(model="x" * 100_000)
    assert status == 400
    assert len(body["error"]["message"]) < 300
