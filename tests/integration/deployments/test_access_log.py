"""The access log's lines, as clients' requests make them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cluster.fleet import Operator, Tenant
from cluster.keys import digest, new_key
from deployments.gateway.access_log import access_logger
from tests.integration.deployments.test_leaving_clients import LONG, leave
from tests.support.front import Engine, Front, front, until
from tests.support.processes import fake_fleet
from tests.support.standalone_gateway import BODY, fleet_of, fresh, standalone_gateway

KEY, OPERATOR = new_key(), new_key()
AUTHORIZATION = {"Authorization": f"Bearer {KEY}"}


class Lines:
    """Those that were logged since the last look."""

    def __init__(self, log: pytest.LogCaptureFixture) -> None:
        self._log = log
        log.set_level(logging.INFO, access_logger.name)

    def texts(self) -> list[str]:
        texts = [record.getMessage() for record in self._log.records if record.name == access_logger.name]
        self._log.clear()
        return texts

    def one(self) -> dict[str, Any]:
        (text,) = self.texts()
        line: dict[str, Any] = json.loads(text)
        return line


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    return Lines(caplog)


@pytest.fixture
async def logged(engines: tuple[Engine, Engine]) -> AsyncIterator[Front]:
    """A gateway over one engine that logs all requests, with a tenant and an operator."""
    fleet = fake_fleet(engines[0].pool, access_log="all").model_copy(
        update={
            "tenants": [Tenant(name="search", key_sha256=[digest(KEY)])],
            "operators": [Operator(name="us", key_sha256=[digest(OPERATOR)])],
        }
    )
    async with front(fleet, [engines[0].announced()]) as made:
        made.session.headers.update(AUTHORIZATION)
        yield made


async def test_whole_answer_has_a_line_with_who_asked_what_and_who_answered(logged: Front, lines: Lines) -> None:
    body = json.dumps({**BODY, "model": "alias"}).encode()
    headers = {"x-request-id": "mine", "Content-Type": "application/json"}
    async with logged.session.post("/v1/completions", data=body, headers=headers) as answer:
        sent = await answer.read()
        replica = answer.headers["x-replica"]
    line = lines.one()
    assert line.pop("time").endswith("Z")
    assert 0 < line.pop("duration_s") < 30
    assert line == {
        "request_id": "mine",
        "client": "127.0.0.1",
        "method": "POST",
        "route": "/v1/completions",
        "status": 200,
        "outcome": "complete",
        "tenant": "search",
        "model": "m",
        "replica": replica,
        "bytes_in": len(body),
        "bytes_out": len(sent),
    }


async def test_stream_has_a_line_with_its_time_to_first_token(logged: Front, lines: Lines) -> None:
    sent = await logged.stream()
    await until(lambda: not logged.server.state.in_flight.count)
    line = lines.one()
    assert (line["status"], line["outcome"], line["bytes_out"]) == (200, "complete", len(sent))
    assert 0 < line["ttft_s"] <= line["duration_s"]


async def test_refusals_have_lines_with_the_status_that_the_client_saw(logged: Front, lines: Lines) -> None:
    status, _, _ = await logged.ask(model="nobody")
    line = lines.one()
    assert (line["status"], line["tenant"]) == (status, "search") == (404, "search")
    async with logged.session.post("/v1/completions", json=BODY, headers={"Authorization": "Bearer no"}) as answer:
        assert answer.status == 401
    line = lines.one()
    assert (line["status"], line["bytes_out"]) == (401, answer.content.total_bytes)
    assert "tenant" not in line
    logged.server.state.in_flight.draining = True
    status, _, _ = await logged.ask()
    logged.server.state.in_flight.draining = False
    assert lines.one()["status"] == status == 503


async def test_paths_keys_prompts_and_agents_of_clients_are_in_no_line(logged: Front, lines: Lines) -> None:
    headers = {"User-Agent": "agent", "X-Forwarded-For": "6.6.6.6", "Referer": "secret", "x-request-id": "secret id"}
    async with logged.session.get("/v1/" + "secret" * 500 + "?key=secret", headers=headers) as answer:
        assert answer.status == 404
    async with logged.session.get("/v1/models/secret", headers=headers) as answer:
        assert answer.status == 404
    async with logged.session.request("BREW", "/secret", headers=headers) as answer:
        assert answer.status in (400, 404)
    await logged.ask(prompt="secret", user="secret")
    texts = lines.texts()
    assert len(texts) >= 3
    for text in texts:
        assert len(text) < 600
        assert text.isprintable()
        for word in ("secret", "agent", "6.6.6.6", KEY, KEY[-8:]):
            assert word not in text
    assert [json.loads(text)["route"] for text in texts[:2]] == ["/{path}", "/v1/models/{name}"]


async def test_client_that_leaves_a_stream_has_a_line(
    logged: Front, lines: Lines, engines: tuple[Engine, Engine]
) -> None:
    await leave(logged, b"data: ", True, LONG, AUTHORIZATION)
    await logged.idle()
    line = lines.one()
    assert (line["status"], line["outcome"]) == (200, "client_left")
    assert line["bytes_out"] > 0


async def test_client_that_leaves_before_its_answer_has_a_line_with_499(
    logged: Front, lines: Lines, engines: tuple[Engine, Engine]
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await logged.ask(max_tokens=LONG)
    await logged.idle()
    line = lines.one()
    assert (line["status"], line["outcome"], line["bytes_out"]) == (499, "client_left", 0)


async def test_stream_that_broke_has_a_line_that_says_so(engines: tuple[Engine, Engine], lines: Lines) -> None:
    fleet = fake_fleet(engines[0].pool, access_log="errors", resume=False)
    async with front(fleet, [engines[0].announced()]) as made:
        await engines[0].fault(cut_after_tokens=2)
        content = await made.stream(max_tokens=20)
    assert b'"error"' in content
    line = lines.one()
    assert (line["status"], line["outcome"], line["bytes_out"]) == (200, "broken", len(content))


async def test_errors_alone_are_logged_where_the_fleet_says_so(engines: tuple[Engine, Engine], lines: Lines) -> None:
    async with front(fake_fleet(engines[0].pool, access_log="errors"), [engines[0].announced()]) as made:
        assert (await made.ask())[0] == 200
        assert (await made.ask(model="nobody"))[0] == 404
    assert lines.one()["status"] == 404


async def test_nothing_is_logged_by_default(two: Front, lines: Lines) -> None:
    await two.ask()
    await two.ask(model="nobody")
    assert lines.texts() == []


async def test_processes_write_lines_to_standard_error_and_count_those_dropped(
    engines: tuple[Engine, Engine], tmp_path: Path
) -> None:
    engine = engines[0]
    with standalone_gateway(fleet_of(engine, access_log="all"), [f"a={engine.url}"], tmp_path) as gateway:
        await fresh(gateway)
        async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}/metrics") as answer:
            assert 'gateway_access_log_dropped_total{process="0"} 0.0' in await answer.text()
        assert gateway.end() == 0
        written = [json.loads(line) for line in gateway.log.read_text().splitlines() if line.startswith("{")]
    assert [line["route"] for line in written] == ["/v1/completions", "/metrics"]
