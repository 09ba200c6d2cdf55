"""What the engine tells of itself: health, models, load, metrics, and the exact counters that tests conserve."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from aiohttp import web

from deployments.engine.fake.answering import json_response
from deployments.engine.fake.engine import ENGINE, Engine
from deployments.engine.fake.faults import FaultRequest
from deployments.engine.fake.requests import read_json


def engine_version() -> str:
    """The project's own version: the engine is part of it."""
    try:
        return f"fake-{version('mixfleet')}"
    except PackageNotFoundError:
        return "fake"


async def health(request: web.Request) -> web.Response:
    engine = request.app[ENGINE]
    return web.Response(status=503 if engine.faults.unhealthy or engine.scheduler.failed else 200)


async def show_version(_request: web.Request) -> web.Response:
    return json_response({"version": engine_version()})


async def load(request: web.Request) -> web.Response:
    return json_response({"server_load": request.app[ENGINE].batch.live})


async def models(request: web.Request) -> web.Response:
    config = request.app[ENGINE].config
    cards: list[dict[str, Any]] = [
        {
            "id": name,
            "object": "model",
            "created": 0,
            "owned_by": "fake",
            "root": config.checkpoint,
            "parent": None,
            "max_model_len": config.max_model_len,
            "permission": [],
        }
        for name in config.names
    ]
    return json_response({"object": "list", "data": cards})


async def metrics(request: web.Request) -> web.Response:
    return web.Response(text=_exposition(request.app[ENGINE]), content_type="text/plain")


async def kv_event_sources(request: web.Request) -> web.Response:
    return json_response(request.app[ENGINE].publisher.sources())


async def reset_prefix_cache(request: web.Request) -> web.Response:
    """As vLLM's route of that name, which is open there in its development mode only."""
    return json_response({"success": request.app[ENGINE].forget_prefixes()})


async def stats(request: web.Request) -> web.Response:
    engine = request.app[ENGINE]
    return json_response(
        {
            **asdict(engine.batch.counters),
            "running": len(engine.batch.running),
            "waiting": len(engine.batch.waiting),
            "blocks_in_use": engine.blocks.in_use,
            "queried_tokens": engine.blocks.counters.queried_tokens,
            "hit_tokens": engine.blocks.counters.hit_tokens,
        }
    )


async def set_fault(request: web.Request) -> web.Response:
    request.app[ENGINE].faults.set(await read_json(request, FaultRequest))
    return json_response({})


async def reset_faults(request: web.Request) -> web.Response:
    request.app[ENGINE].faults.reset()
    return json_response({})


def _exposition(engine: Engine) -> str:
    """Prometheus text, under the names that vLLM uses."""
    blocks, batch = engine.blocks, engine.batch
    labels = {"engine": "0", "model_name": engine.config.names[0]}
    cache = {
        "block_size": blocks.block_size,
        "enable_prefix_caching": blocks.caches,
        "engine": 0,
        "num_gpu_blocks": blocks.count,
    }
    return "".join(
        (
            _metric("num_requests_running", "gauge", len(batch.running), labels),
            _metric("num_requests_waiting", "gauge", len(batch.waiting), labels),
            _metric("kv_cache_usage_perc", "gauge", blocks.in_use / blocks.count, labels),
            _metric("prefix_cache_queries_total", "counter", blocks.counters.queried_tokens, labels),
            _metric("prefix_cache_hits_total", "counter", blocks.counters.hit_tokens, labels),
            _metric("prompt_tokens_total", "counter", batch.counters.prompt_tokens, labels),
            _metric("generation_tokens_total", "counter", batch.counters.emitted_tokens, labels),
            _metric("num_preemptions_total", "counter", batch.counters.preempted, labels),
            _metric("cache_config_info", "gauge", 1, cache),
        )
    )


def _metric(name: str, kind: str, value: float, labels: dict[str, Any]) -> str:
    inside = ",".join(f'{label}="{content}"' for label, content in labels.items())
    return f"# TYPE vllm:{name} {kind}\nvllm:{name}{{{inside}}} {float(value)}\n"
