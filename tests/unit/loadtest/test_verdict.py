from __future__ import annotations

from dataclasses import replace

from loadtest.benchmarks.base import Mode, Served
from loadtest.benchmarks.whisper import Clips, Whisper
from loadtest.client import Outcome
from loadtest.loadgen.log import LogFacts
from loadtest.loadgen.settings import TestPlan as Plan
from loadtest.measure import Measurement
from loadtest.target import Target
from loadtest.verdict import judge

OFFICIAL = Whisper.official
PLAN = Plan(OFFICIAL, Mode.PERFORMANCE, OFFICIAL.performance_samples)
TARGET = Target("u", Served("m"), (), "off", (), OFFICIAL.checkpoint, OFFICIAL.revision)
DATA = Clips((), "official", embedded=False)
GOOD = LogFacts(True, (), 10.0, 700.0, 1633)


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
