from __future__ import annotations

import math

import pytest

from loadtest.benchmarks.base import Answer, Online
from loadtest.client import Outcome
from loadtest.online.live import LiveTable
from loadtest.online.standing import Standing, e2e_s, tpot_s, ttft_s

LIMITS = Online("m", ttft_s=2.0, tpot_s=0.1)


def outcome(first: float, finished: float, tokens: int = 11, due: float = 100.0) -> Outcome:
    return Outcome(0, 0, due, finished, 1, Answer(b"", tokens, ""), due=due, first=first)


def test_times_are_counted_from_when_a_query_was_due() -> None:
    one = outcome(first=100.5, finished=101.5)
    assert (ttft_s(one), e2e_s(one)) == (0.5, 1.5)
    assert tpot_s(one) == pytest.approx(0.1)
    assert math.isnan(tpot_s(outcome(100.5, 100.5, tokens=1)))
    assert math.isnan(ttft_s(outcome(math.nan, 101.0)))


def test_limits_are_judged_by_the_99th_percentile() -> None:
    standing = Standing(LIMITS)
    for _ in range(995):
        standing.add(outcome(100.5, 101.0))
    for _ in range(5):
        standing.add(outcome(109.0, 109.5))
    assert standing.broken() == []
    for _ in range(50):
        standing.add(outcome(109.0, 109.5))
    assert standing.broken() == ["TTFT p99 9 s, limit 2 s"]


def test_a_failure_breaks_the_test_and_has_no_latency() -> None:
    standing = Standing(LIMITS, issued=2)
    standing.add(Outcome(0, 0, 100.0, 160.0, 1, None, "timeout", due=100.0))
    assert standing.broken() == ["1 failed"]
    assert (standing.in_flight, standing.e2e_s) == (1, [])


def test_limits_that_a_scenario_does_not_set_are_not_judged() -> None:
    standing = Standing(Online("m", e2e_s=12.0))
    standing.add(outcome(150.0, 111.0))
    assert standing.broken() == []


def test_the_table_tells_rates_of_late_and_what_is_still_to_be_issued(capsys: pytest.CaptureFixture[str]) -> None:
    table, standing = LiveTable("gpt-oss Server", planned=100), Standing(LIMITS, issued=20)
    for _ in range(10):
        standing.add(outcome(100.5, 101.5, tokens=21))
    table.show(standing, 2.0)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gpt-oss Server, 8 s to issue: seconds 2, issued 20, in flight 10, answered 10")
    assert "queries/s 5.0, tokens/s 105, TTFT p50 500.0 ms" in line
    assert line.endswith("within its limits")
    table.show(standing, 3.0)
    assert capsys.readouterr().err == "", "no second line so soon where nobody watches"
    table.show(standing, 4.0, last=True)
    assert capsys.readouterr().err
