"""A cache reporter beside an engine that runs without a supervisor, and what its replica would announce of it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from cluster.fleet import Fleet
from deployments.engine.backend import EngineFacts
from deployments.engine.cache_reporter.process import CacheReporter, ReporterSettings
from deployments.engine.vllm.routes import ask_facts
from deployments.kv_cache.report_subscriber import ReporterAddresses
from deployments.replica_info import ReplicaInfo
from tests.support.engine_keys import direct_session
from tests.support.processes import HOST

Result = TypeVar("Result")


async def facts_of(url: str) -> EngineFacts:
    async with direct_session() as session:
        return await ask_facts(session, url)


def settings(facts: EngineFacts, fleet: Fleet, model: str = "m") -> ReporterSettings:
    assert facts.kv_events is not None
    assert facts.kv_replay is not None
    return ReporterSettings(
        facts.kv_events, facts.kv_replay, HOST, model, facts.kv_blocks, fleet.name, fleet.secrets_file
    )


@contextmanager
def cache_reporter(url: str, fleet: Fleet, model: str = "m") -> Iterator[ReporterAddresses]:
    """Where a reporter of the engine at `url` listens, until the block ends. The event loop waits meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        reporter = CacheReporter(settings(waited(facts_of(url)), fleet, model), Path(folder) / "log")
        try:
            yield waited(reporter.start())
        finally:
            waited(reporter.stop())


def reporting(replica_info: ReplicaInfo, addresses: ReporterAddresses) -> ReplicaInfo:
    """What the replica announces once it has a reporter there."""
    return replace(replica_info, caches=True, cache_reports=addresses.reports, cache_snapshots=addresses.snapshots)


def waited(work: Coroutine[Any, Any, Result]) -> Result:
    """Also within an event loop, which `asyncio.run` alone refuses."""
    with ThreadPoolExecutor(1) as other:
        return other.submit(asyncio.run, work).result()
