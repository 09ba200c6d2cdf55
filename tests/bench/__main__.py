"""`python -m tests.bench [NAME...]`: runs benchmarks one after the other and prints their figures; by default all but
the long ones."""

from __future__ import annotations

import importlib
import signal
import sys
import time

BENCHES = (
    "gateway_latency",
    "gateway_streams",
    "kv_events",
    "cache_reports",
    "prefix_index",
    "cache_report_sockets",
    "prompts",
    "hostile_bodies",
    "body_memory",
    "routing_decision",
    "peer_sync",
    "image_chat",
    "autoscaling",
    "simulator_speed",
    "step_time",
    "gateway_vs_router",
    "offline_two_speeds",
    "offline_vs_generate",
    "real_mixed",
    "soak",
    "client_overhead",
    "chaos",
)
LONG = ("routing_grid", "mlperf", "engine_work", "deaths", "gateway_processes")
"""Run only when named: a quarter of an hour to the better part of one each."""


def main(chosen: list[str]) -> int:
    unknown = set(chosen) - {*BENCHES, *LONG}
    if unknown:
        known = ", ".join((*BENCHES, *LONG))
        print(f"unknown benchmark {', '.join(sorted(unknown))}: there are {known}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a bench ends the processes that it started
    for name in chosen or BENCHES:
        started = time.monotonic()
        print(f"== {name}: {(importlib.import_module(f'tests.bench.{name}').__doc__ or '').strip()}", flush=True)
        for figure, value in importlib.import_module(f"tests.bench.{name}").run().items():
            print(f"   {figure:40} {value:10.3f}", flush=True)
        print(f"   ({time.monotonic() - started:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
