from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadtest.benchmarks.base import Answer, Mode, Served
from loadtest.benchmarks.gpt_oss import GptOss
from loadtest.client import Outcome
from loadtest.journal import IDENTITY, JOURNAL, Journal, JournalError
from loadtest.loadgen.settings import TestPlan as Plan
from loadtest.target import Target

PLAN = Plan(GptOss.official, Mode.ACCURACY, 20)
TARGET = Target("http://x", Served("m"), (), "off", checkpoint="c", revision="r")


def outcome(index: int) -> Outcome:
    return Outcome(index + 100, index, 1.0, 2.0, 1, Answer(bytes([index] * 8), 2, f"answer {index}"))


def test_answers_survive_and_failures_are_asked_again(tmp_path: Path) -> None:
    journal = Journal.of(tmp_path, PLAN, "gpt-oss", TARGET)
    journal.add([outcome(1), Outcome(7, 2, 1.0, 2.0, 5, None, "status 500"), outcome(3)])
    journal.close()
    again = Journal.of(tmp_path, PLAN, "gpt-oss", TARGET)
    assert {index: known.answer for index, known in again.known.items()} == {i: outcome(i).answer for i in (1, 3)}
    again.add([outcome(3), outcome(4)])
    again.close()
    assert sorted(Journal(tmp_path / JOURNAL).known) == [1, 3, 4]


@given(kept=st.integers(0, 400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_kill_at_any_byte_costs_no_more_than_the_last_answer(tmp_path: Path, kept: int) -> None:
    file = tmp_path / "j"
    file.unlink(missing_ok=True)
    journal = Journal(file)
    ends = []
    for index in range(6):
        journal.add([outcome(index)])
        ends.append(file.stat().st_size)
    journal.close()
    content = file.read_bytes()
    file.write_bytes(content[:kept])
    cut = Journal(file)
    assert len(cut.known) == sum(end <= kept for end in ends)
    cut.add([outcome(index) for index in range(6)])
    cut.close()
    assert sorted(Journal(file).known) == list(range(6))


def test_another_tests_answers_are_refused(tmp_path: Path) -> None:
    Journal.of(tmp_path, PLAN, "gpt-oss", TARGET).close()
    with pytest.raises(JournalError, match="checkpoint was c, is d"):
        Journal.of(tmp_path, PLAN, "gpt-oss", replace(TARGET, checkpoint="d"))
    with pytest.raises(JournalError, match="samples was 20, is 30"):
        Journal.of(tmp_path, replace(PLAN, samples=30), "gpt-oss", TARGET)
    with pytest.raises(JournalError, match="no such folder"):
        Journal.of(tmp_path / "missing", PLAN, "gpt-oss", TARGET)
    (tmp_path / IDENTITY).unlink()
    with pytest.raises(JournalError, match="of an interrupted accuracy run"):
        Journal.of(tmp_path, PLAN, "gpt-oss", TARGET)
