"""What the project relies on in any engine. A subclass names one, by a `spec` fixture of a text model, and runs it all.

The engine is started once for the class; the last test stops it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import pytest

from deployments.engine.access.client import engine_session
from deployments.engine.backend import EngineLoad, EngineSpec
from deployments.engine.process import EngineProcess
from tests.support.process_table import descendants, gone
from tests.support.sockets import http_answer, listening

PROMPT = [12, 13, 14, 15]
"""Token ids that any vocabulary has."""


class EngineContract:
    start_timeout_s = 300.0
    freeing_timeout_s = 10.0

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls) -> EngineSpec:
        raise NotImplementedError("a subclass says which engine")

    @pytest.fixture(scope="class")
    @classmethod
    def processes_before(cls) -> set[int]:
        return descendants()

    @pytest.fixture(scope="class")
    @classmethod
    def engine(
        cls, spec: EngineSpec, processes_before: set[int], tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[EngineProcess]:
        made = EngineProcess(spec, tmp_path_factory.mktemp("engine") / "engine.log")
        asyncio.run(made.start(cls.start_timeout_s))
        yield made
        asyncio.run(made.stop())

    @pytest.fixture
    async def session(self, engine: EngineProcess) -> AsyncIterator[aiohttp.ClientSession]:
        timeout = aiohttp.ClientTimeout(total=60)
        async with engine_session(engine.keys, timeout, engine.url) as made:
            yield made

    def body(self, engine: EngineProcess, tokens: int = 4, **changes: Any) -> dict[str, Any]:
        fixed = {"temperature": 0, "ignore_eos": True, "return_token_ids": True}
        return {"model": engine.spec.names[0], "prompt": PROMPT, "max_tokens": tokens, **fixed, **changes}

    async def load(self, engine: EngineProcess, session: aiohttp.ClientSession) -> EngineLoad:
        return await engine.backend.load(session, engine.url)

    async def until(
        self, engine: EngineProcess, session: aiohttp.ClientSession, reached: Callable[[EngineLoad], bool]
    ) -> EngineLoad:
        async with asyncio.timeout(self.freeing_timeout_s):
            while not reached(load := await self.load(engine, session)):  # noqa: ASYNC110  # another's state
                await asyncio.sleep(0.05)
            return load

    async def test_a_started_engine_is_healthy_and_idle(
        self, engine: EngineProcess, session: aiohttp.ClientSession
    ) -> None:
        assert await engine.healthy(session)
        assert await self.load(engine, session) == EngineLoad(0, 0, 0.0)

    async def test_facts(self, engine: EngineProcess, session: aiohttp.ClientSession) -> None:
        facts = await engine.backend.facts(session, engine.url, engine.spec)
        assert facts.version
        assert facts.block_size is not None
        assert facts.kv_blocks is not None
        assert facts.max_model_len is not None
        assert min(facts.block_size, facts.kv_blocks, facts.max_model_len) >= 1
        assert facts.caches is engine.spec.caches
        assert bool(facts.kv_events) is bool(facts.kv_replay) is engine.spec.caches

    async def test_models_are_its_names_and_aliases(
        self, engine: EngineProcess, session: aiohttp.ClientSession
    ) -> None:
        async with session.get("/v1/models") as answer:
            assert tuple(card["id"] for card in (await answer.json())["data"]) == engine.spec.names

    async def test_every_name_is_served(self, engine: EngineProcess, session: aiohttp.ClientSession) -> None:
        for name in engine.spec.names:
            async with session.post("/v1/completions", json=self.body(engine, model=name)) as answer:
                assert answer.status == 200, await answer.text()

    @pytest.mark.parametrize(
        ("change", "status"), [({"model": "nobody"}, 404), ({"max_tokens": -1}, 400), ({"prompt": 5.5}, 400)]
    )
    async def test_bad_requests_get_an_error_object(
        self, engine: EngineProcess, session: aiohttp.ClientSession, change: dict[str, Any], status: int
    ) -> None:
        async with session.post("/v1/completions", json=self.body(engine, **change)) as answer:
            assert answer.status == status
            assert (await answer.json())["error"]["message"]

    async def test_token_ids_go_in_and_come_out(self, engine: EngineProcess, session: aiohttp.ClientSession) -> None:
        async with session.post("/v1/completions", json=self.body(engine, 5)) as answer:
            told = await answer.json()
        (choice,) = told["choices"]
        assert choice["prompt_token_ids"] == PROMPT
        assert len(choice["token_ids"]) == 5
        assert choice["finish_reason"] == "length"
        usage = told["usage"]
        counts = (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"])
        assert counts == (len(PROMPT), 5, len(PROMPT) + 5)

    async def test_a_stream_is_whole_frames_that_end_with_done(
        self, engine: EngineProcess, session: aiohttp.ClientSession
    ) -> None:
        async with session.post("/v1/completions", json=self.body(engine, 5)) as answer:
            expected = (await answer.json())["choices"][0]["token_ids"]
        body = self.body(engine, 5, stream=True, stream_options={"include_usage": True})
        async with session.post("/v1/completions", json=body) as answer:
            assert answer.content_type == "text/event-stream"
            raw = await answer.read()
        *frames, done, after = raw.split(b"\n\n")
        assert (done, after) == (b"data: [DONE]", b"")
        chunks = [json.loads(frame.removeprefix(b"data: ")) for frame in frames]
        *tokens, usage = chunks
        assert [t for chunk in tokens for c in chunk["choices"] for t in c.get("token_ids") or []] == expected
        assert usage["choices"] == []
        assert usage["usage"]["completion_tokens"] == 5

    @pytest.mark.parametrize("stream", [True, False])
    async def test_a_client_that_goes_away_frees_the_engine(
        self, engine: EngineProcess, session: aiohttp.ClientSession, stream: bool
    ) -> None:
        facts = await engine.backend.facts(session, engine.url, engine.spec)
        assert facts.max_model_len is not None
        body = self.body(engine, min(20_000, facts.max_model_len - 10), stream=stream)

        async def ask() -> None:
            async with session.post("/v1/completions", json=body) as answer:
                await answer.read()

        asking = asyncio.create_task(ask())
        busy = await self.until(engine, session, lambda load: load.running == 1 and load.kv_use > 0)
        assert busy.waiting == 0
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await self.until(engine, session, lambda load: load == EngineLoad(0, 0, 0.0))

    @pytest.mark.parametrize("path", ["/health", "/metrics", "/v1/models", "/kv_event_sources", "/docs", "/none"])
    @pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
    async def test_a_request_without_the_fleets_key_gets_401(
        self, engine: EngineProcess, method: str, path: str
    ) -> None:
        async with aiohttp.ClientSession() as stranger, stranger.request(method, engine.url + path) as answer:
            assert answer.status == 401
            assert (await answer.json())["error"]["code"] == "invalid_engine_key"

    async def test_a_websocket_is_never_opened(self, engine: EngineProcess, session: aiohttp.ClientSession) -> None:
        async with aiohttp.ClientSession(engine.url) as stranger:
            for client in (stranger, session):
                with pytest.raises(aiohttp.WSServerHandshakeError):
                    await client.ws_connect("/v1/realtime")

    @pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/load", "/v1/embeddings", "/invocations"])
    async def test_a_route_that_no_gateway_uses_is_closed_also_with_the_key(
        self, session: aiohttp.ClientSession, path: str
    ) -> None:
        async with session.get(path) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (404, "route_not_offered")

    async def test_every_socket_of_an_engine_is_on_its_own_address_and_gives_a_stranger_nothing(
        self, engine: EngineProcess, processes_before: set[int]
    ) -> None:
        found = listening(descendants() - processes_before)
        assert engine.url.rpartition(":")[2] in {str(one.port) for one in found}
        assert {one.host for one in found} == {engine.host}
        for one in found:
            answer = await asyncio.to_thread(http_answer, one.host, one.port, "GET", "/metrics", 0.5)
            assert answer.startswith(b"HTTP/1.1 401 ") or len(answer) <= 64, "a greeting and no more"

    async def test_stopping_leaves_no_process(self, engine: EngineProcess, processes_before: set[int]) -> None:
        processes = descendants() - processes_before
        assert len(processes) >= 2, "a guard and an engine"
        await engine.stop()
        assert gone(processes, 1)
        with pytest.raises(aiohttp.ClientError):
            async with aiohttp.ClientSession() as session:
                await session.get(f"{engine.url}/health")
