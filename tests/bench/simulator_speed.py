"""12,000 of Mooncake's requests on twelve replicas, simulated on one core; where the time goes."""

from __future__ import annotations

import cProfile
import pstats
import time
from pathlib import Path

from loadtest.simulator.cells import capacity
from loadtest.simulator.fleets import simulated_fleet
from loadtest.simulator.run import simulate
from loadtest.traces.loading import load_trace

TRACE = "../shared/data/traces/mooncake_conversation.jsonl"
REQUESTS = 12_000
LOAD = 0.8
PARTS = {"router": "deployments/routing/", "KV blocks": "fake/kv_blocks", "engines": "simulator/engine"}


def run() -> dict[str, float]:
    if not Path(TRACE).is_file():
        raise SystemExit(f"{TRACE} is not there: put Mooncake's conversation trace there")
    fleet = simulated_fleet("h200x4-mi350x8")
    trace = load_trace(TRACE, 0).window(0, REQUESTS)
    requests = trace.at_rate(LOAD * capacity(fleet, trace.requests)).requests
    started = time.process_time()
    simulate(fleet, requests)
    seconds = time.process_time() - started
    profile = cProfile.Profile()
    profile.runcall(simulate, fleet, requests)
    shares = dict.fromkeys(PARTS, 0.0)
    total = 0.0
    for (file, _, _), (_, _, own, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        total += own
        for part, where in PARTS.items():
            shares[part] += own if where in file else 0.0
    return {
        "requests": len(requests),
        "CPU seconds": seconds,
        "requests/s": len(requests) / seconds,
        **{f"of it in the {part}, %": 100 * own / total for part, own in shares.items()},
    }
