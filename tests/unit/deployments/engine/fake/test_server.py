from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiohttp import ClientError, ClientTimeout

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize(
    ("task", "path"),
    [("transcription", CHAT), ("transcription", COMPLETIONS), ("chat", "/v1/audio/transcriptions"), ("chat", "/v2")],
)
async def test_a_task_has_only_its_own_routes(serve: Any, task: str, path: str) -> None:
    engine = await serve(task=task)
    status, error = await engine.error(path, json={})
    assert (status, error["message"], error["type"]) == (404, "Not Found", "Not Found")


async def test_a_route_asked_in_the_wrong_way(serve: Any) -> None:
    engine = await serve()
    async with engine.client.get(CHAT) as response:
        assert response.status == 405
        assert (await response.json())["error"]["type"] == "Method Not Allowed"


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"", "application/json", "JSON decode error"),
        (b"{", "application/json", "JSON decode error"),
        (b"\xff\xfe", "application/json", "JSON decode error"),
        (b"[]", "application/json", "Expected `object`, got `array`"),
        (b"{}", "application/json", "missing required field `messages`"),
        (b"{}", "text/plain", "Only 'application/json' is allowed"),
    ],
)
async def test_malformed_bodies(serve: Any, body: bytes, content_type: str, message: str) -> None:
    engine = await serve()
    status, error = await engine.error(CHAT, data=body, headers={"Content-Type": content_type})
    assert (status, error["type"]) == (400, "Bad Request")
    assert message in error["message"]


async def test_a_body_that_is_too_large(serve: Any) -> None:
    engine = await serve()
    headers = {"Content-Type": "application/json"}
    status, error = await engine.error(CHAT, data=bytes(64 * 2**20 + 1), headers=headers)
    assert (status, error["type"]) == (413, "Request Entity Too Large")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("slots", [1, 8])
async def test_a_client_that_leaves_frees_its_slot_and_blocks(serve: Any, stream: bool, slots: int) -> None:
    engine = await serve(slots=slots, decode_step_s=0.01, tokens_per_answer=10_000)
    requests = [
        asyncio.create_task(engine.post(CHAT, {**HELLO, "stream": stream, "max_tokens": 10_000})) for _ in range(3)
    ]
    await engine.until(lambda: engine.engine.batch.live == 3 and engine.engine.blocks.in_use > 0)
    for request in requests:
        request.cancel()
    await asyncio.gather(*requests, return_exceptions=True)
    await engine.idle()
    assert engine.engine.batch.counters.aborted == 3


async def test_a_full_queue_says_so(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.engine.fake.batch.MOST_WAITING", 1)
    engine = await serve()
    status, error = await engine.error(COMPLETIONS, json={"prompt": ["a", "b", "c"]})
    assert (status, error["type"]) == (503, "ServiceUnavailableError")
    await engine.idle()


async def test_many_at_once_are_conserved(serve: Any) -> None:
    engine = await serve(slots=4, kv_blocks=24, block_size=4, decode_step_s=0.0005)
    bodies = [{"prompt": f"prompt number {n % 7}", "max_tokens": 1 + n % 9, "stream": n % 2 == 0} for n in range(60)]

    async def ask(body: dict[str, Any]) -> None:
        async with engine.client.post(COMPLETIONS, json=body) as response:
            assert response.status == 200
            await response.read()

    await asyncio.gather(*map(ask, bodies))
    await engine.idle()
    counters = engine.engine.batch.counters
    assert counters.finished == 60
    assert counters.emitted_tokens == sum(1 + n % 9 for n in range(60))


async def test_startup_takes_its_time(serve: Any) -> None:
    start = time.monotonic()
    await serve(startup_s=0.1)
    assert time.monotonic() - start >= 0.1


async def test_fail_next_fails_that_many_requests_and_no_others(serve: Any) -> None:
    engine = await serve()
    await engine.post("/fault", {"fail_next": 2, "status": 503})
    async with engine.client.get("/health") as response:
        assert response.status == 200
    for _ in range(2):
        status, error = await engine.error(CHAT, json=HELLO)
        assert (status, error["type"]) == (503, "InternalServerError")
    await engine.post(CHAT, HELLO)


@pytest.mark.parametrize("tokens", [1, 3])
async def test_cut_closes_a_stream_after_its_tokens_without_an_end(serve: Any, tokens: int) -> None:
    engine = await serve()
    await engine.post("/fault", {"cut_after_tokens": tokens})
    received = await engine.broken(CHAT, {**HELLO, "stream": True})
    assert received.endswith("\n\n")
    assert received.count('"delta":{"content"') == tokens
    assert "[DONE]" not in received
    await engine.idle()
    assert (await engine.events(CHAT, json={**HELLO, "stream": True}))[-1] == "[DONE]", "the next stream is whole"


@pytest.mark.parametrize(("stream", "tokens"), [(True, 0), (False, 0), (False, 3)])
async def test_cut_before_the_first_byte(serve: Any, stream: bool, tokens: int) -> None:
    engine = await serve()
    await engine.post("/fault", {"cut_after_tokens": tokens})
    with pytest.raises(ClientError):
        await engine.client.post(CHAT, json={**HELLO, "stream": stream})
    await engine.idle()


async def test_stall_delays_the_first_byte(serve: Any) -> None:
    engine = await serve()
    await engine.post("/fault", {"stall_s": 0.5})
    start = time.monotonic()
    await engine.post(CHAT, HELLO)
    assert time.monotonic() - start >= 0.5
    async with engine.client.delete("/fault") as response:
        assert response.status == 200
    start = time.monotonic()
    await engine.post(CHAT, HELLO)
    assert time.monotonic() - start < 0.5


async def test_hang_answers_nothing_but_the_test_routes_until_it_ends(serve: Any) -> None:
    engine = await serve()
    await engine.post("/fault", {"hang": True})
    with pytest.raises(asyncio.TimeoutError):
        await engine.client.get("/health", timeout=ClientTimeout(total=0.05))
    waiting = asyncio.create_task(engine.post(CHAT, HELLO))
    async with engine.client.get("/stats") as response:
        assert response.status == 200
    assert not waiting.done()
    await engine.post("/fault", {"hang": False})
    assert (await waiting)["object"] == "chat.completion"


async def test_unhealthy_says_503_and_goes_on_serving(serve: Any) -> None:
    engine = await serve()
    await engine.post("/fault", {"unhealthy": True})
    async with engine.client.get("/health") as response:
        assert response.status == 503
    await engine.post(CHAT, HELLO)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"explode": True}, "unknown field `explode`"),
        ({"fail_next": -1}, "0 or more"),
        ({"slow": 0}, "a factor above 0"),
        ({"fail_next": 1, "status": 200}, "400 to 599"),
    ],
)
async def test_faults_that_make_no_sense(serve: Any, fault: dict[str, Any], message: str) -> None:
    engine = await serve()
    status, error = await engine.error("/fault", json=fault)
    assert status == 400
    assert message in error["message"]
