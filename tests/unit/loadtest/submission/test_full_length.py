"""LoadGen's own logs of full-length runs before fakes (`make bench-mlperf`), without the lists of samples."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from loadtest.benchmarks.base import Mode, Scenario
from loadtest.benchmarks.gpt_oss import GptOss
from loadtest.loadgen.log import read_entries, read_log, read_values
from loadtest.loadgen.rounds import Round
from loadtest.loadgen.settings import TestPlan as Plan
from loadtest.loadgen.settings import official_settings
from loadtest.submission.gate import Division, objections
from loadtest.submission.runs import entries_of, read_runs
from tests.support.run_folders import run_folder

LOGS = Path(__file__).with_name("data")
RATES = {Scenario.SERVER: 10.6, Scenario.OFFLINE: 9.69}


def plan(scenario: Scenario) -> Plan:
    return Plan(GptOss.official, Mode.PERFORMANCE, 6396, target_qps=RATES[scenario], scenario=scenario)


@pytest.mark.parametrize("scenario", RATES)
def test_loadgen_ran_with_the_rounds_settings(scenario: Scenario) -> None:
    told = read_values(LOGS / scenario.lower() / "mlperf_log_detail.txt")
    wanted = official_settings(plan(scenario))
    assert {key: told[f"effective_{key}"] for key in wanted} == wanted
    assert max(told["generated_query_duration"], told["result_max_latency_ns"]) >= 600e9
    assert told["generated_query_count"] * told["generated_samples_per_query"] == 6396
    assert told["result_validity"] == "VALID"
    assert not [e for e in read_entries(LOGS / scenario.lower() / "mlperf_log_detail.txt") if e["metadata"]["is_error"]]


@pytest.mark.parametrize("scenario", RATES)
def test_our_reading_of_it(scenario: Scenario) -> None:
    facts = read_log(plan(scenario), LOGS / scenario.lower())
    assert (facts.valid, facts.reasons, facts.samples) == (True, (), 6396)
    tokens = 128 if scenario is Scenario.SERVER else 1278
    assert facts.tokens_per_s == pytest.approx((facts.samples_per_s or 0) * tokens, rel=1e-3)
    if scenario is Scenario.SERVER:
        assert facts.latency["ttft_s"]["p50"] < facts.latency["ttft_s"]["p99"] < 3
        assert facts.latency["tpot_s"]["p99"] < 0.08


def test_with_these_logs_nothing_speaks_against_a_submission(tmp_path: Path) -> None:
    runs = []
    for scenario in RATES:
        for kind in ("performance", "accuracy", "TEST07", "TEST09"):
            folder = run_folder(tmp_path, "gpt-oss", scenario, kind, qps=RATES[scenario])
            if kind == "performance":
                shutil.copytree(LOGS / scenario.lower(), folder, dirs_exist_ok=True)
            runs.append(folder)
    assert objections(entries_of(read_runs(runs)), Division.CLOSED, Round.V6_1) == []
    told = objections(entries_of(read_runs(runs)), Division.CLOSED, Round.V6_0)
    assert any("schedule_rng_seed" not in str(one) and "rules of v6.1" in str(one) for one in told)
