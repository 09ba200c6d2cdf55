from __future__ import annotations

from dataclasses import replace

import pytest

from loadtest.benchmarks.base import Mode, Scenario, Served
from loadtest.benchmarks.gpt_oss import GptOss
from loadtest.benchmarks.qwen3_vl import Qwen3VL
from loadtest.benchmarks.whisper import Clips, Whisper
from loadtest.client import Outcome
from loadtest.loadgen.log import LogFacts
from loadtest.loadgen.settings import TestPlan as Plan
from loadtest.loadgen.settings import official_settings
from loadtest.measuring import Measurement
from loadtest.target import Target
from loadtest.verdict import judge

OFFICIAL = Whisper.official
PLAN = Plan(OFFICIAL, Mode.PERFORMANCE, OFFICIAL.performance_samples)
TARGET = Target("u", Served("m"), (), "off", (), OFFICIAL.checkpoint, OFFICIAL.revision)
DATA = Clips((), "official", embedded=False)
GOOD = LogFacts(True, (), 10.0, 700.0, 1633, official_settings(PLAN))


def test_nothing_speaks_against_an_official_run() -> None:
    verdict = judge(PLAN, TARGET, DATA, GOOD, Measurement())
    assert (verdict.word, verdict.reasons, verdict.not_submittable) == ("VALID", (), ())


def test_an_unanswered_sample_overrules_loadgen() -> None:
    measured = Measurement()
    measured.ledger.issue([1], [0], lambda _: 1.0, 1)
    measured.ledger.admit([Outcome(0, 0, 0.0, 1.0, 5, None, "status 500: x")])
    verdict = judge(PLAN, TARGET, DATA, GOOD, measured)
    assert verdict.word == "INVALID"
    assert verdict.reasons == ("1 samples were not answered, the first with: status 500: x",)


def test_too_short_a_run_is_told_what_to_ask_for() -> None:
    facts = LogFacts(False, ("the run was shorter than the minimum duration",), 10.0, 700.0, 1633)
    assert "try --target-qps 10.5" in judge(PLAN, TARGET, DATA, facts, Measurement()).reasons[1]


def test_every_obstacle_is_named() -> None:
    plan = replace(PLAN, quick=True, samples=5)
    target = replace(TARGET, caches="unverified", checkpoint="whisper-base")
    data = replace(DATA, embedded=True)
    found = "; ".join(judge(plan, target, data, GOOD, Measurement()).not_submittable)
    for word in ("quick", "toys", "5 samples instead of 1633", "unverified", "whisper-base instead of openai"):
        assert word in found
    on = judge(PLAN, replace(TARGET, caches="on", offenders=("a",)), DATA, GOOD, Measurement())
    assert on.not_submittable == ("caches are on in 1 replicas",)
    other = judge(PLAN, replace(TARGET, revision=None), DATA, GOOD, Measurement())
    assert other.not_submittable == (f"revision None instead of {OFFICIAL.revision}",)


def test_settings_that_loadgen_did_not_run_with_are_named() -> None:
    facts = replace(GOOD, settings=GOOD.settings | {"schedule_rng_seed": 1, "min_duration_ms": 10_000})
    assert judge(PLAN, TARGET, DATA, facts, Measurement()).not_submittable == (
        "LoadGen ran with schedule_rng_seed 1 instead of 16159082839903944936",
        "LoadGen ran with min_duration_ms 10000 instead of 600000",
    )


def test_a_limit_that_was_broken_is_named_with_its_figure() -> None:
    plan = Plan(GptOss.official, Mode.PERFORMANCE, 6396, target_qps=10, scenario=Scenario.SERVER)
    latency = {"ttft_s": {"p99": 3.2}, "tpot_s": {"p99": 0.05}, "e2e_s": {"p99": 90.0}}
    facts = LogFacts(False, ("a latency limit was not kept",), 10.0, 700.0, 6396, official_settings(plan), latency)
    reasons = judge(plan, TARGET, DATA, facts, Measurement()).reasons
    assert reasons == ("a latency limit was not kept", "TTFT p99 is 3.2 s, limit 3 s")


@pytest.mark.parametrize(("ttft_p99_s", "valid"), [(2.9, True), (3.2, False)])
def test_a_broken_limit_makes_a_test_invalid_also_where_loadgen_lets_it_pass(ttft_p99_s: float, valid: bool) -> None:
    plan = Plan(GptOss.official, Mode.PERFORMANCE, 100, target_qps=10, scenario=Scenario.SERVER)
    facts = LogFacts(True, (), 10.0, 700.0, 100, official_settings(plan), {"ttft_s": {"p99": ttft_p99_s}})
    assert judge(plan, TARGET, DATA, facts, Measurement()).valid is valid


def test_what_is_not_mlcommons_own_is_said() -> None:
    plan = Plan(Qwen3VL.official, Mode.PERFORMANCE, 8000, target_qps=10, scenario=Scenario.INTERACTIVE)
    facts = LogFacts(True, (), 10.0, None, 8000, official_settings(plan))
    target = replace(TARGET, checkpoint=Qwen3VL.official.checkpoint, revision=Qwen3VL.official.revision)
    (obstacle,) = judge(plan, target, DATA, facts, Measurement()).not_submittable
    assert "another client" in obstacle
