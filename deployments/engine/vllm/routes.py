"""vLLM's own routes beside OpenAI's: what an engine tells of itself and its load. The fake engine speaks them too."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import aiohttp

from cluster.addresses import host_in_url, listens_everywhere
from deployments.engine.backend import EngineFacts, EngineLoad

EVERY_HOST = "*"
"""ZeroMQ's own word for all addresses of a machine."""


async def ask_facts(session: aiohttp.ClientSession, url: str) -> EngineFacts:
    """What the engine tells of itself. `caches` is about its prefix cache: of the media cache no route tells."""
    async with session.get(f"{url}/version", raise_for_status=True) as answer:
        version = str((await answer.json())["version"])
    async with session.get(f"{url}/v1/models", raise_for_status=True) as answer:
        max_model_len = (await answer.json())["data"][0].get("max_model_len")
    async with session.get(f"{url}/kv_event_sources", raise_for_status=True) as answer:
        sources = await answer.json()
    cache = labels(await _metrics(session, url), "vllm:cache_config_info")
    # Several sources are several engines behind one address, which share no prefix: nobody could tell whose is met.
    source = next(iter(sources.values())) if len(sources) == 1 else {}
    return EngineFacts(
        version=version,
        block_size=_number(cache.get("block_size")),
        kv_blocks=_number(cache.get("num_gpu_blocks")),
        max_model_len=max_model_len,
        caches=cache.get("enable_prefix_caching") == "True",
        kv_events=_reachable(source.get("endpoint"), url),
        kv_replay=_reachable(source.get("replay_endpoint"), url),
    )


async def ask_load(session: aiohttp.ClientSession, url: str) -> EngineLoad:
    text = await _metrics(session, url)
    return EngineLoad(
        running=int(value(text, "vllm:num_requests_running")),
        waiting=int(value(text, "vllm:num_requests_waiting")),
        kv_use=value(text, "vllm:kv_cache_usage_perc"),
    )


async def _metrics(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(f"{url}/metrics", raise_for_status=True) as answer:
        return await answer.text()


def value(text: str, metric: str) -> float:
    """The sum of a gauge over its label sets; 0 where the text does not have it.

    A search and no parser: the text has some thousand lines, of which three are wanted every second.
    """
    return sum(float(found) for found in re.findall(rf"^{re.escape(metric)}(?:\{{[^}}]*\}})? (\S+)$", text, re.M))


def labels(text: str, metric: str) -> dict[str, str]:
    """The labels of a metric's first sample; none where the text does not have it."""
    found = re.search(rf"^{re.escape(metric)}\{{(.*)\}} ", text, re.M)
    return dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[1])) if found else {}


def _reachable(endpoint: str | None, url: str) -> str | None:
    """A ZeroMQ address as others reach it: the engine's own host, known by `url`, where it listens on every one."""
    if not endpoint:
        return None
    if not endpoint.startswith("tcp://"):
        return endpoint
    scheme, _, address = endpoint.partition("://")
    host, _, port = address.rpartition(":")
    if host == EVERY_HOST or listens_everywhere(host):
        host = host_in_url(urlsplit(url).hostname or "")
    return f"{scheme}://{host}:{port}"


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
