from __future__ import annotations

from typing import Any


async def get(engine: Any, path: str) -> Any:
    async with engine.client.get(path) as response:
        assert response.status == 200
        return await response.json()


async def test_health_and_ping(serve: Any) -> None:
    engine = await serve()
    for path in ("/health", "/ping"):
        async with engine.client.get(path) as response:
            assert (response.status, await response.text()) == (200, "")


async def test_an_engine_whose_loop_failed_is_not_healthy(serve: Any) -> None:
    engine = await serve()
    engine.engine.scheduler.failed = True
    async with engine.client.get("/health") as response:
        assert response.status == 503


async def test_models_lists_every_name(serve: Any) -> None:
    engine = await serve(kv_blocks=8, block_size=16)
    cards = (await get(engine, "/v1/models"))["data"]
    assert [(card["id"], card["object"], card["root"]) for card in cards] == [
        ("fake", "model", "none"),
        ("alias", "model", "none"),
    ]
    assert {card["max_model_len"] for card in cards} == {128}, "no more than all KV blocks hold"


async def test_version_names_the_fake(serve: Any) -> None:
    assert (await get(await serve(), "/version"))["version"].startswith("fake")


async def test_load_counts_running_and_waiting(serve: Any) -> None:
    engine = await serve(slots=1, decode_step_s=0.2)
    body = {"prompt": "Hello", "stream": True}
    async with engine.client.post("/v1/completions", json=body), engine.client.post("/v1/completions", json=body):
        assert await get(engine, "/load") == {"server_load": 2}
        stats = await get(engine, "/stats")
        assert (stats["running"], stats["waiting"], stats["blocks_in_use"]) == (1, 1, 1)
        async with engine.client.get("/metrics") as response:
            told = await response.text()
        assert 'vllm:num_requests_running{engine="0",model_name="fake"} 1.0' in told
        assert 'vllm:num_requests_waiting{engine="0",model_name="fake"} 1.0' in told
    await engine.idle()
    assert (await get(engine, "/stats"))["aborted"] == 2


async def test_metrics_use_vllms_names(serve: Any) -> None:
    engine = await serve(block_size=4, kv_blocks=100)
    for _ in range(2):
        await engine.post("/v1/completions", {"prompt": list(range(10)), "max_tokens": 3})
    async with engine.client.get("/metrics") as response:
        assert response.content_type == "text/plain"
        told = (await response.text()).splitlines()
    samples = {line.split("{")[0]: float(line.split()[-1]) for line in told if not line.startswith("#")}
    assert samples == {
        "vllm:num_requests_running": 0,
        "vllm:num_requests_waiting": 0,
        "vllm:kv_cache_usage_perc": 0,
        "vllm:prefix_cache_queries_total": 20,
        "vllm:prefix_cache_hits_total": 8,
        "vllm:prompt_tokens_total": 20,
        "vllm:generation_tokens_total": 6,
        "vllm:num_preemptions_total": 0,
        "vllm:cache_config_info": 1,
    }
    assert 'block_size="4",enable_prefix_caching="True",engine="0",num_gpu_blocks="100"' in told[-1]
