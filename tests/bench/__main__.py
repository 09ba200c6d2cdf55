"""`make bench [ONLY=name]`: runs the benchmarks one after the other and prints their figures."""

from __future__ import annotations

import importlib
import sys
import time

BENCHES = (
    "gateway_latency",
    "gateway_streams",
    "kv_events",
    "prompts",
    "routing_decision",
    "image_chat",
    "simulator_speed",
    "gateway_vs_router",
    "offline_two_speeds",
    "offline_vs_generate",
    "real_mixed",
    "soak",
    "routing_grid",
)


def main(chosen: list[str]) -> int:
    unknown = set(chosen) - set(BENCHES)
    if unknown:
        print(f"unknown benchmark {', '.join(sorted(unknown))}: there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    for name in chosen or BENCHES:
        started = time.monotonic()
        print(f"== {name}: {(importlib.import_module(f'tests.bench.{name}').__doc__ or '').strip()}", flush=True)
        for figure, value in importlib.import_module(f"tests.bench.{name}").run().items():
            print(f"   {figure:40} {value:10.3f}", flush=True)
        print(f"   ({time.monotonic() - started:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
