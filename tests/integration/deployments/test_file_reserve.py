"""Where file descriptors run short, requests get 503 and `/health` is answered; the listener never fails."""

from __future__ import annotations

import asyncio

import pytest

from deployments.gateway.file_reserve import FILES
from tests.support.front import Front


async def test_requests_are_refused_while_health_is_answered(two: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await two.ask())[0] == 200
    monkeypatch.setattr(FILES, "limit", (FILES.in_use() + 20) * 4 // 3)  # a quarter of it is the reserve
    idle = [await asyncio.open_connection("127.0.0.1", two.server.port) for _ in range(12)]  # both ends are open here
    status, body, answer = await two.ask()
    assert (status, body["error"]["code"], answer.headers["Retry-After"]) == (503, "overloaded", "1")
    async with two.session.get("/health") as health:
        assert health.status == 200
    for _, writer in idle:
        writer.close()
    await asyncio.sleep(0)
    monkeypatch.undo()
    assert (await two.ask())[0] == 200


async def test_connections_that_take_the_last_files_get_503(two: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FILES, "limit", FILES.in_use())
    reader, writer = await asyncio.open_connection("127.0.0.1", two.server.port)
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"overloaded"' in answer
    writer.close()
    monkeypatch.undo()
    assert (await two.ask())[0] == 200


async def test_preparation_can_be_seen_in_the_metrics(two: Front) -> None:
    async with two.session.get("/metrics") as answer:
        text = await answer.text()
    for name in ("preparation_waiting", "preparation_busy", "bytes_in_flight", "bytes_in_flight_limit", "open_files"):
        assert f"\ngateway_{name} " in text
    for reason in ("cpu", "tokenising", "wall_time", "crash", "error"):
        assert f'gateway_preparation_failures_total{{reason="{reason}"}} 0.0' in text
