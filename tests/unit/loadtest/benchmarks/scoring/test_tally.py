from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.benchmarks.scoring.tally import PASSED, Tally, exact_match

CODE = "```python\nprint(1)\n```"
OFFICIAL = {"aime25": (30, 8), "gpqa_diamond": (198, 5), "livecodebench_v6": (1055, 3)}


def tried(programs: Sequence[tuple[str, str | None]]) -> list[str]:
    return ["no code" if code is None else PASSED if question == "easy" else "error" for question, code in programs]


def test_programs_count_once_they_are_tried() -> None:
    tally = Tally("livecodebench_v6")
    for answer, question in ((CODE, "easy"), (CODE, "hard"), ("I give up", "easy")):
        tally.add(answer, question)
    assert not tally.scored
    assert exact_match([tally]).value is None
    assert exact_match([tally]).detail["livecodebench_v6"] == {"asked": 3}
    tally.try_programs(tried)
    assert tally.detail() == {"right": 1, "asked": 3, "outcomes": {PASSED: 1, "error": 1, "no code": 1}}
    assert exact_match([tally]).value == pytest.approx(100 / 3)


def test_one_data_set_without_a_score_leaves_no_value() -> None:
    known, unknown = Tally("gpqa_diamond"), Tally("mmlu")
    known.add("Answer: B", "B")
    unknown.add("Answer: B", "B")
    score = exact_match([unknown, known])
    assert (score.value, score.detail["not_scored_here"]) == (None, ["mmlu"])
    assert score.detail["gpqa_diamond"] == {"right": 1, "asked": 1}
    assert exact_match([]).value is None


@given(st.fixed_dictionaries({name: st.integers(0, count * times) for name, (count, times) in OFFICIAL.items()}))
def test_the_official_weights(right: dict[str, int]) -> None:
    tallies = [
        Tally(name, asked=count * times, right=right[name], outcomes=None)
        for name, (count, times) in OFFICIAL.items()
        if name != "livecodebench_v6"
    ]
    code = Tally("livecodebench_v6", asked=3165, programs=[("easy", "code")] * right["livecodebench_v6"])
    code.try_programs(tried)
    expected = right["aime25"] / 8 + right["gpqa_diamond"] / 5 + right["livecodebench_v6"] / 3
    assert exact_match([*tallies, code]).value == pytest.approx(100 * expected / (30 + 198 + 1055))
