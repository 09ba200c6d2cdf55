from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.tables import plain
from loadtest.command import Refused
from loadtest.online.peak import (
    GROWTH,
    LADDER,
    MOST_HALVINGS,
    MOST_RUNGS,
    PRECISION,
    Rung,
    best,
    find_peak,
    ladder_table,
    next_rate,
)


def rung(rate: float, valid: bool) -> Rung:
    return Rung(rate, valid, rate * 10, "tokens/s", {"ttft_s": 0.5, "tpot_s": None}, f"/results/{rate:g}")


def holds_up_to(limit: float, tried: list[float] | None = None):  # type: ignore[no-untyped-def]
    def climb(rate: float) -> Rung:
        if tried is not None:
            tried.append(rate)
        return rung(rate, rate <= limit)

    return climb


def test_it_doubles_then_bisects() -> None:
    assert next_rate([], 3.0) == 3.0
    assert next_rate([rung(3, True)], 3.0) == 6
    assert next_rate([rung(3, True), rung(6, False)], 3.0) == 4.243
    assert next_rate([rung(3, False)], 3.0) == 1.5
    assert next_rate([rung(10, True), rung(10.2, False)], 3.0) is None


def test_a_rate_that_held_above_one_that_failed_is_not_believed() -> None:
    rungs = [rung(2, True), rung(4, False), rung(8, True)]
    assert next_rate(rungs, 1.0) == 2.828
    found = best(rungs)
    assert found is not None
    assert found.target_qps == 2


@given(limit=st.floats(0.01, 5000), first=st.floats(0.1, 1000))
def test_it_finds_the_limit(limit: float, first: float) -> None:
    rungs: list[Rung] = []
    climb = holds_up_to(limit)
    while (rate := next_rate(rungs, first)) is not None:
        rungs.append(climb(rate))
    found = best(rungs)
    assert len(rungs) <= MOST_RUNGS
    assert len({rung.target_qps for rung in rungs}) == len(rungs), "no rate is tried twice"
    if found is None:
        assert limit < first / GROWTH**MOST_HALVINGS * 1.001
    elif len(rungs) < MOST_RUNGS:
        assert found.target_qps <= limit <= found.target_qps * (1 + PRECISION) * 1.001


def test_a_search_cut_short_goes_on(tmp_path: Path) -> None:
    def interrupted(rate: float) -> Rung:
        if rate > 4:
            raise KeyboardInterrupt
        return rung(rate, True)

    with pytest.raises(KeyboardInterrupt):
        find_peak(tmp_path, ["--quick"], 1.0, interrupted)
    tried: list[float] = []
    found = find_peak(tmp_path, ["--quick"], 1.0, holds_up_to(10, tried))
    assert tried[0] == 4 * GROWTH
    assert found is not None
    assert found.target_qps == pytest.approx(10, rel=PRECISION)
    assert find_peak(tmp_path, ["--quick"], 1.0, interrupted) == found, "nothing is left to be tried"


def test_another_search_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    find_peak(tmp_path, ["--quick"], 1.0, holds_up_to(0.9))
    with pytest.raises(Refused, match="a search with --quick"):
        find_peak(tmp_path, ["--round", "v6.0"], 1.0, holds_up_to(1))
    (tmp_path / LADDER).write_text("{")
    with pytest.raises(Refused, match="no ladder of an earlier search"):
        find_peak(tmp_path, [], 1.0, holds_up_to(1))


def test_the_ladder_is_shown_from_the_lowest_rate_on() -> None:
    lines = plain([ladder_table([rung(4, False), rung(2, True)])]).splitlines()
    assert [line.split()[1] for line in lines[-2:]] == ["VALID", "INVALID"]
    assert "0.500 s" in lines[-1]
