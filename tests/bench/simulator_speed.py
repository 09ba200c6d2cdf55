"""12,000 of Mooncake's requests on twelve replicas, simulated on one core; where the time goes."""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from pathlib import Path
from typing import Any

from loadtest.simulator.cells import capacity
from loadtest.simulator.fleets import simulated_fleet
from loadtest.simulator.run import simulate
from loadtest.traces.loading import load_trace

TRACE = "../shared/data/traces/mooncake_conversation.jsonl"
REQUESTS = 12_000
LOAD = 0.8
ROUTER, BLOCKS, ENGINES = "deployments/routing/", "fake/kv_blocks", "simulator/engine"


class Entered:
    """Of a profile: seconds from calls into a part of the code to their ends, what they call elsewhere among them."""

    def __init__(self, profile: cProfile.Profile) -> None:
        stats = pstats.Stats(profile)
        self.total: float = stats.total_tt  # type: ignore[attr-defined]
        self._functions: dict[Any, Any] = stats.stats  # type: ignore[attr-defined]

    def seconds(self, part: str, caller: str = "") -> float:
        """Of calls from files whose names have `caller` in them, those of the part itself left out."""
        return sum(
            float(edge[3])
            for (file, _, _), (*_, callers) in self._functions.items()
            if part in file
            for (of, _, _), edge in callers.items()
            if part not in of and caller in of
        )


def run() -> dict[str, float]:
    if not Path(TRACE).is_file():
        print(f"left out: {TRACE} is not there; put Mooncake's conversation trace there", file=sys.stderr)
        return {}
    fleet = simulated_fleet("h200x4-mi350x8")
    trace = load_trace(TRACE, 0).window(0, REQUESTS)
    requests = trace.at_rate(LOAD * capacity(fleet, trace.requests)).requests
    started = time.process_time()
    simulate(fleet, requests)
    seconds = time.process_time() - started
    profile = cProfile.Profile()
    profile.runcall(simulate, fleet, requests)
    entered = Entered(profile)
    parts = {
        "router": entered.seconds(ROUTER),
        "KV blocks": entered.seconds(BLOCKS),
        "engines": entered.seconds(ENGINES) - entered.seconds(BLOCKS, ENGINES),
    }
    parts["rest"] = entered.total - sum(parts.values())
    return {
        "requests": len(requests),
        "CPU seconds": seconds,
        "requests/s": len(requests) / seconds,
        **{f"of it in the {part}, %": 100 * spent / entered.total for part, spent in parts.items()},
    }
