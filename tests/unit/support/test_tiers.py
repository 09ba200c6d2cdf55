"""One failing tier does not hide the next, and the last lines tell what failed."""

from __future__ import annotations

from pathlib import Path

import pytest

import tests.__main__ as command
from tests.__main__ import Ended, main, summary
from tests.support.skips import skip_reason
from tests.tiers import RUNS, Tier

FIRST, SECOND = Tier("first", ("a",), "", 0), Tier("second", ("b",), "", 0)


def ended(tier: Tier, code: int = 0, **report: object) -> Ended:
    return Ended(tier, code, 12.0, {"passed": 3, "failed": [], "skipped": [], "left_behind": [], **report})


def test_every_tier_runs_whatever_fails_before_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []

    def run(tier: Tier, options: list[str], folder: Path) -> Ended:
        ran.append(tier.name)
        return ended(tier, 1, failed=["a/test_x.py::test_y"]) if tier is FIRST else ended(tier)

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setitem(RUNS, "both", (FIRST, SECOND))
    assert main(["both"]) == 1
    assert ran == ["first", "second"]
    lines = capsys.readouterr().out.splitlines()
    assert "first: failed a/test_x.py::test_y" in lines
    assert lines[-1] == "6 passed, 1 failed, 0 skipped"


def test_an_unknown_run_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nightly"]) == 2
    assert "usage: python -m tests unit|test" in capsys.readouterr().err


def test_the_summary_says_what_would_enable_skipped_tests() -> None:
    text = summary([ended(FIRST, skipped=[["a", skip_reason("kernel-headers")], ["b", "no reason"]])])
    assert "skipped 1: they need the kernel's headers" in text
    assert "skipped 1: for undeclared reasons" in text


def test_a_tier_without_a_report_counts_as_a_failure() -> None:
    text = summary([Ended(FIRST, 4, 1.0)])
    assert "first: pytest itself ended with status 4" in text
    assert text.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"


def test_test_and_rest_together_are_all() -> None:
    assert RUNS["test"] + RUNS["rest"] == RUNS["all"]
