"""What the gateway tells and decides when nothing fails: its own routes, headers, the queue, and who gets the work."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.engine_keys import direct_session
from tests.support.front import Engine, Front, front, until
from tests.support.processes import fake_engine, fake_fleet, fake_pool


async def get(gateway: Front, path: str, status: int = 200) -> object:
    async with gateway.session.get(path) as answer:
        assert answer.status == status
        return await answer.json()


async def test_models_are_names_and_aliases(two: Front) -> None:
    listed = await get(two, "/v1/models")
    assert isinstance(listed, dict)
    assert [card["id"] for card in listed["data"]] == ["m", "alias"]
    for card in listed["data"]:
        assert card == await get(two, f"/v1/models/{card['id']}")
        assert (card["object"], card["owned_by"], card["max_model_len"]) == ("model", "mixfleet", 131_072)
    missing = await get(two, "/v1/models/nope", 404)
    assert isinstance(missing, dict)
    assert missing["error"]["code"] == "model_not_found"


async def test_the_fleet_as_it_is_now(two: Front, engines: tuple[Engine, Engine]) -> None:
    told = await get(two, "/fleet")
    assert isinstance(told, dict)
    assert (told["fleet"], told["mlperf"]) == ("fakes", False)
    (model,) = told["models"]
    assert (model["name"], model["aliases"], model["task"]) == ("m", ["alias"], "chat")
    assert [replica["url"] for replica in model["replicas"]] == [engine.url for engine in engines]
    assert [replica["vendor"] for replica in model["replicas"]] == ["nvidia", "amd"]


async def test_ready_only_with_a_replica_of_every_model(engines: tuple[Engine, Engine]) -> None:
    async with front(fake_fleet(engines[0].pool), []) as gateway:
        assert await get(gateway, "/ready", 503) == {"waiting_for": ["m"]}
        async with gateway.session.get("/health") as answer:
            assert answer.status == 200
        gateway.server.update([engines[0].announced()])
        await until(lambda: not gateway.server.state.unready())
        assert await get(gateway, "/ready") == {"waiting_for": []}


async def test_a_request_waits_for_the_first_replica(engines: tuple[Engine, Engine]) -> None:
    async with front(fake_fleet(engines[0].pool), []) as gateway:
        asking = asyncio.create_task(gateway.ask())
        await asyncio.sleep(0.1)
        gateway.server.update([engines[0].announced()])
        assert (await asking)[0] == 200


async def test_metrics_can_be_read(two: Front) -> None:
    await two.ask()
    await two.ask(model="nope")
    await two.stream()
    async with two.session.get("/metrics") as answer:
        assert answer.content_type == "text/plain"
        families = {family.name: family for family in text_string_to_metric_families(await answer.text())}
    counts = {
        tuple(sorted(s.labels.items())): s.value
        for s in families["gateway_requests"].samples
        if s.name.endswith("_total")
    }
    route = ("route", "/v1/completions")
    assert counts == {(("model", "m"), route, ("status", "200")): 2, (("model", ""), route, ("status", "404")): 1}
    assert {s.labels["pool"] for s in families["gateway_replica_open_requests"].samples} == {"a", "b"}
    assert all(s.value == 0 for s in families["gateway_replica_waiting_seconds"].samples)
    assert sum(s.value for s in families["gateway_routing_seconds"].samples if s.name.endswith("_count")) == 2


async def test_headers_name_who_answered(two: Front) -> None:
    async with two.session.post(
        "/v1/completions", json={"model": "m", "prompt": "x"}, headers={"X-Request-Id": "my-own.1"}
    ) as answer:
        assert answer.headers["x-request-id"] == "my-own.1"
        pool = answer.headers["x-pool"]
        assert (pool, answer.headers["x-vendor"]) in {("a", "nvidia"), ("b", "amd")}
        assert answer.headers["x-replica"].startswith(f"m@{pool}#")
        assert (await answer.json())["id"] == "cmpl-my-own.1", "the engine knows it by the same id"


@pytest.mark.parametrize("given", ["", "a b", "x" * 200, "é"])
async def test_request_ids_that_are_none_are_replaced(two: Front, given: str) -> None:
    async with two.session.get("/v1/models") as answer:
        assert answer.status == 200
    body = {"model": "m", "prompt": "x", "max_tokens": 1}
    async with two.session.post("/v1/completions", json=body, headers={"X-Request-Id": given}) as answer:
        assert answer.status == 200
        assert len(answer.headers["x-request-id"]) == 32


async def test_an_answer_is_the_engines_own_bytes(two: Front, engines: tuple[Engine, Engine]) -> None:
    body: dict[str, Any] = {"model": "m", "prompt": "hello", "max_tokens": 6, "stream": True, "return_token_ids": True}
    body |= {"stream_options": {"include_usage": True}}
    through = await two.stream(**body)
    async with (
        direct_session() as session,
        session.post(f"{engines[0].url}/v1/completions", json=body) as answer,
    ):
        direct = await answer.read()

    def content(raw: bytes) -> list[object]:
        frames = [frame.removeprefix(b"data: ") for frame in raw.split(b"\n\n")]
        return [{**json.loads(f), "id": 0, "created": 0} if f.startswith(b"{") else f for f in frames]

    assert content(through) == content(direct)


async def test_tokens_leave_one_by_one_and_in_whole_frames(engines: tuple[Engine, Engine]) -> None:
    pool = fake_pool(decode_step_s=0.05)
    with fake_engine(pool) as url:
        async with front(fake_fleet(pool), [Engine(url, pool).announced()]) as gateway:
            body = {"model": "m", "prompt": "x", "max_tokens": 8, "stream": True}
            async with gateway.session.post("/v1/completions", json=body) as answer:
                assert answer.headers["Content-Type"].startswith("text/event-stream")
                assert answer.headers["X-Accel-Buffering"] == "no"
                pieces = [piece async for piece in answer.content.iter_any()]
    assert len(pieces) >= 4, "fewer than eight only where this machine is too busy to keep up"
    assert all(piece.endswith(b"\n\n") for piece in pieces)


async def test_a_client_of_http_1_0_gets_a_stream_without_chunks(two: Front) -> None:
    body = b'{"model":"m","prompt":"hello","max_tokens":4,"stream":true}'
    reader, writer = await asyncio.open_connection("127.0.0.1", two.server.port)
    try:
        writer.write(b"POST /v1/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        head, _, frames = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    assert b"200 OK" in head
    assert b"chunked" not in head.lower()
    assert frames.startswith(b"data: {")
    assert frames.endswith(b"data: [DONE]\n\n")


async def test_connections_are_kept(two: Front) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", two.server.port)
    try:
        for path, status in [("/health", b"200"), ("/nope", b"404"), ("/ready", b"200")]:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            assert head.split()[1] == status
            assert b"connection: close" not in head.lower()
            length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line)
            await reader.readexactly(length)
    finally:
        writer.close()


async def test_ties_go_to_chance(two: Front) -> None:
    pools = Counter(pool for pool in [(await two.ask())[2].headers["x-pool"] for _ in range(30)])
    assert set(pools) == {"a", "b"}


async def test_work_spreads_evenly_over_pools_of_the_same_speed(two: Front, engines: tuple[Engine, Engine]) -> None:
    for engine in engines:
        await engine.fault(hang=True)  # lest answers tell of speeds while the rest is still being sent
    decisions = two.server.state.directory.models[0].decisions
    burst = [asyncio.create_task(two.ask(prompt="x" * 400, max_tokens=40)) for _ in range(40)]
    async with asyncio.timeout(60):
        while len(decisions) < 40:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    for engine in engines:
        await engine.fault(hang=False)
    assert Counter(answer.headers["x-pool"] for _, _, answer in await asyncio.gather(*burst)) == {"a": 20, "b": 20}


async def test_large_requests_count_for_more(two: Front) -> None:
    large = asyncio.create_task(two.ask(prompt="x" * 90_000, max_tokens=4))
    async with asyncio.timeout(5):
        while not any(two.booked()):  # noqa: ASYNC110  # another's state
            await asyncio.sleep(0.001)
    small = [asyncio.create_task(two.ask(max_tokens=1)) for _ in range(20)]
    elsewhere = {answer.headers["x-pool"] for _, _, answer in await asyncio.gather(*small)}
    assert elsewhere == {"a", "b"} - {(await large)[2].headers["x-pool"]}


async def test_round_robin_takes_turns(engines: tuple[Engine, Engine]) -> None:
    a, b = engines
    async with front(fake_fleet(a.pool, b.pool, policy="round-robin"), [a.announced(), b.announced()]) as gateway:
        assert [(await gateway.ask())[2].headers["x-pool"] for _ in range(4)] == ["a", "b", "a", "b"]


async def test_a_full_queue_is_refused_and_says_when_to_come_back() -> None:
    pool = fake_pool(slots=1, decode_step_s=0.02)
    with fake_engine(pool) as url:
        engine = Engine(url, pool)
        async with front(fake_fleet(pool, max_queue=3, overcommit=2), [engine.announced()]) as gateway:
            answers = await asyncio.gather(*[gateway.ask(max_tokens=10) for _ in range(12)])
            counts = Counter(status for status, _, _ in answers)
            assert counts == {200: 5, 429: 7}, "two sent, three waiting"
            for status, body, answer in answers:
                if status == 429:
                    assert body["error"]["type"] == "rate_limit_error"
                    assert int(answer.headers["Retry-After"]) >= 1
        async with front(
            fake_fleet(pool, mlperf=True, max_queue=0, queue_timeout_s=0.1), [engine.announced()]
        ) as measured:
            answers = await asyncio.gather(*[measured.ask(max_tokens=10) for _ in range(12)])
            assert Counter(status for status, _, _ in answers) == {200: 12}, "MLPerf mode sheds nothing"
