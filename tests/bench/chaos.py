"""Three minutes of paced load on two vendors' fakes on a cluster of processes, a replica killed every ten seconds and a
worker node every minute: what clients see."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from cluster.fleet import Fleet
from tests.support.chaos import Chaos
from tests.support.fake_cluster import served_on_cluster
from tests.support.processes import fake_fleet, fake_pool

SECONDS = 180.0


def fleet() -> Fleet:
    """Two replicas on each vendor's nodes, whose longest answers take four seconds."""
    pools = [
        fake_pool(vendor, vendor=vendor, decode_step_s=0.025, slots=16).model_copy(update={"min_replicas": 2})
        for vendor in ("nvidia", "amd")
    ]
    return fake_fleet(*pools)


def run(seconds: float = SECONDS) -> dict[str, float]:
    with (
        tempfile.TemporaryDirectory() as folder,
        served_on_cluster(fleet(), f"chaos-{os.getpid()}", Path(folder)) as (url, cluster),
    ):
        seen = asyncio.run(Chaos(url, cluster, seconds).run())
        for problem in seen.problems[:10]:
            print(f"   {problem}", flush=True)
    return {
        "requests": seen.requests,
        "answered whole and identical": seen.outcomes["whole"],
        "different": seen.outcomes["different"],
        "failed": seen.outcomes["failed"],
        "slowest s": seen.slowest_s,
        "engines killed": seen.killed["engine"],
        "actors killed": seen.killed["actor"],
        "nodes killed": seen.killed["node"],
        "s to the wanted size after the end": seen.recovered_s,
    }
