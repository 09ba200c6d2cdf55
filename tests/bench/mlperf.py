"""Full-length runs of GPT-OSS by MLPerf's own settings, before fakes: Server and Offline, 6,396 prompts, 600 s each.

Both run at once, each before two fake engines of its own behind a gateway. LoadGen must call them VALID, and its detail
log must carry the round's seeds, counts and durations. Their logs are kept under results/bench-mlperf.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.engine.process import PROJECT_ROOT
from loadtest.benchmarks.gpt_oss import GptOss
from tests.support.fake_prompts import write_prompts
from tests.support.processes import fake_engine, fake_fleet, fake_pool, gateway, replica_info

OUT = PROJECT_ROOT / "results" / "bench-mlperf"
TIMEOUT_S = 1800


@dataclass(frozen=True)
class Case:
    """A command, its rate, and fakes that keep it: two of them, of `slots` sequences each."""

    command: str
    target_qps: float
    slots: int
    tokens: int
    decode_step_s: float


CASES = {
    # 10.6/s over 600 s is less than a pass, so that one pass of 6,396 is issued, in 603 s.
    "Server": Case("loadtest.server", 10.6, slots=64, tokens=128, decode_step_s=0.02),
    # Two times 32 sequences of 1,278 steps: 10 samples/s, a pass takes 640 s. LoadGen asks for 1.1 x 600 s x rate.
    "Offline": Case("loadtest.offline", 9.69, slots=32, tokens=1278, decode_step_s=0.005),
}


def measured(case: Case, out: Path, *options: str) -> dict[str, Any]:
    """The summary of a run."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_prompts(folder / "prompts.parquet", GptOss.official.performance_samples)
        fake = {"decode_step_s": case.decode_step_s, "tokens_per_answer": case.tokens, "prefill_tokens_per_s": 1e6}
        pools = [fake_pool(name, slots=case.slots, vendor=name, **fake) for name in ("nvidia", "amd")]
        engines = [stack.enter_context(fake_engine(pool)) for pool in pools]
        told = [replica_info(url, pool) for url, pool in zip(engines, pools, strict=True)]
        url, _ = stack.enter_context(gateway(fake_fleet(*pools, mlperf=True), told))
        command = [sys.executable, "-m", case.command, "--benchmark", "gpt-oss", "--endpoint", url]
        command += ["--data", str(folder / "prompts.parquet"), "--target-qps", str(case.target_qps), "--out", str(out)]
        before = set(out.iterdir())
        ended = subprocess.run([*command, *options], cwd=PROJECT_ROOT, timeout=TIMEOUT_S, check=False)
        (made,) = set(out.iterdir()) - before
        if ended.returncode not in (0, 1):
            raise RuntimeError(f"{case.command} ended with status {ended.returncode}; see {made}")
        return dict(json.loads((made / "summary.json").read_text()))


def run() -> dict[str, float]:
    for name in CASES:
        (OUT / name.lower()).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(len(CASES)) as at_once:
        runs = dict(zip(CASES, at_once.map(lambda name: measured(CASES[name], OUT / name.lower()), CASES), strict=True))
    figures: dict[str, float] = {}
    for name, summary in runs.items():
        figures[f"{name}: VALID"] = float(summary["verdict"] == "VALID")
        figures[f"{name}: wrong settings"] = sum("LoadGen ran" in told for told in summary["not_submittable_because"])
        figures[f"{name}: samples"] = summary["samples_answered"]
        figures[f"{name}: seconds"] = summary["seconds"]
        figures[f"{name}: tokens/s"] = summary["value"]
    online = runs["Server"]
    figures["Server: TTFT p99 s"] = online["latency"]["ttft_s"]["p99"]
    figures["Server: TPOT p99 ms"] = 1e3 * online["latency"]["tpot_s"]["p99"]
    figures["Server: lateness p99 ms"] = 1e3 * online["latency"]["lateness_s"]["p99"]
    figures["Server: client's cores"] = online["client_cores"]
    return figures
