from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.benchmarks.base import Mode, Scenario
from loadtest.benchmarks.gpt_oss import GptOss
from loadtest.benchmarks.qwen3_vl import Qwen3VL
from loadtest.benchmarks.whisper import Whisper
from loadtest.loadgen.rounds import SEEDS, Round
from loadtest.loadgen.settings import TestPlan as Plan
from loadtest.loadgen.settings import user_conf

ASK_LOADGEN = """
import sys
from pathlib import Path
from loadtest.benchmarks import benchmark
from loadtest.benchmarks.base import Mode
from loadtest.loadgen.settings import LoadGenError, TestPlan, test_settings, user_conf
official = benchmark(sys.argv[1]).official
plan = TestPlan(official, Mode.PERFORMANCE, official.performance_samples)
conf = Path(sys.argv[2])
conf.write_text(user_conf(plan))
s = test_settings(plan, conf)
counts = s.min_duration_ms, s.min_query_count, s.performance_sample_count_override
print(*counts, s.qsl_rng_seed, s.sample_concatenate_permutation)
try:
    test_settings(plan, conf)
except LoadGenError as error:
    print(error)
"""


def test_gpt_oss_sets_the_query_count_that_mlperf_conf_lacks() -> None:
    assert user_conf(Plan(GptOss.official, Mode.PERFORMANCE, 6396)) == "gpt-oss-120b.Offline.min_query_count = 6396\n"


@pytest.mark.parametrize("official", [Whisper.official, Qwen3VL.official])
def test_an_official_run_changes_nothing_else(official: object) -> None:
    assert user_conf(Plan(official, Mode.PERFORMANCE, official.performance_samples)) == ""  # type: ignore[attr-defined,arg-type]


def test_the_expected_rate_is_the_submitters() -> None:
    assert (
        user_conf(Plan(Whisper.official, Mode.PERFORMANCE, 1633, target_qps=61.5))
        == "whisper.Offline.target_qps = 61.5\n"
    )


def test_a_smaller_set_overrides_counts_that_reach_past_its_end() -> None:
    lines = user_conf(Plan(Whisper.official, Mode.ACCURACY, 5)).splitlines()
    assert lines == [
        "whisper.Offline.performance_sample_count_override = 5",
        "whisper.Offline.accuracy_sample_count_override = 5",
    ]


def test_a_quick_run_says_so_and_is_one_pass() -> None:
    plan = Plan(GptOss.official, Mode.PERFORMANCE, 128, quick=True)
    text = user_conf(plan)
    assert text.startswith("# Quick run")
    assert "not to be submitted" in text
    assert "gpt-oss-120b.Offline.min_duration = 0\n" in text
    assert "gpt-oss-120b.Offline.min_query_count = 128\n" in text
    assert plan.log_prefix == "quick_mlperf_log_"


@pytest.mark.parametrize(
    ("name", "queries", "samples"), [("gpt-oss", 6396, 6396), ("whisper", 1633, 1633), ("qwen3-vl", 48289, 48289)]
)
def test_loadgen_itself_takes_the_official_settings_once(name: str, queries: int, samples: int, tmp_path: Path) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", ASK_LOADGEN, name, str(tmp_path / "user.conf")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert asked.returncode == 0, asked.stderr
    settings, refusal = asked.stdout.splitlines()
    assert settings == f"600000 {queries} {samples} 2085463073848966840 True"
    assert "start a new process" in refusal


ASK_OFFICIAL = """
import sys, threading
from pathlib import Path
from loadtest.benchmarks import benchmark
from loadtest.benchmarks.base import Mode, Scenario
from loadtest.loadgen.rounds import Round
from loadtest.loadgen.session import complete, first_tokens, run_loadgen
from loadtest.loadgen.settings import TestPlan, test_settings, user_conf
official, scenario = benchmark(sys.argv[1]).official, Scenario(sys.argv[2])
plan = TestPlan(official, Mode.PERFORMANCE, official.samples(Mode.PERFORMANCE, scenario), False, 50.0, scenario,
                Round(sys.argv[3]))
conf = Path(sys.argv[4])
conf.write_text(user_conf(plan))
s = test_settings(plan, conf)
print(s.min_duration_ms, s.performance_sample_count_override, s.server_target_latency_ns, s.server_target_qps,
      s.use_token_latencies, s.ttft_latency, s.tpot_latency, s.server_target_latency_percentile,
      s.sample_concatenate_permutation, s.schedule_rng_seed, s.qsl_rng_seed, s.sample_index_rng_seed)
"""


@pytest.mark.parametrize("named", list(Round))
@pytest.mark.parametrize(
    ("name", "scenario", "samples", "latency_ns", "tokens"),
    [
        ("gpt-oss", Scenario.SERVER, 6396, 0, "True 3000000000 80000000"),
        ("gpt-oss", Scenario.INTERACTIVE, 6396, 0, "True 2000000000 15000000"),
        ("qwen3-vl", Scenario.SERVER, 48_289, 12_000_000_000, "False"),
        ("qwen3-vl", Scenario.INTERACTIVE, 8000, 1_500_000_000, "False"),
    ],
)
def test_loadgen_itself_takes_the_online_settings_of_each_round(
    name: str, scenario: Scenario, samples: int, latency_ns: int, tokens: str, named: Round, tmp_path: Path
) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", ASK_OFFICIAL, name, scenario, named, str(tmp_path / "user.conf")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert asked.returncode == 0, asked.stderr
    told = asked.stdout.split()
    assert told[:4] == ["600000", str(samples), str(latency_ns), "50.0"]
    assert " ".join(told[4:7]).startswith(tokens)
    seeds = SEEDS[named]
    assert told[7:] == ["0.99", "True", str(seeds.schedule), str(seeds.qsl), str(seeds.sample_index)]
