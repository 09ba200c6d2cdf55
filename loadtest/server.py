"""MLPerf Server: `python -m loadtest.server --benchmark gpt-oss|qwen3-vl|whisper --target-qps RATE`."""

from __future__ import annotations

import sys

from loadtest.benchmarks.base import Scenario
from loadtest.command import leave
from loadtest.online.command import main

if __name__ == "__main__":
    leave(main(Scenario.SERVER, sys.argv[1:]))
