from __future__ import annotations

import pytest

from loadtest.benchmarks.scoring.exact_match import aime_answer, answer_kind, choice_answer, final_text, sum_answer


def harmony(final: str, analysis: str = "hmm, maybe C, \\boxed{1}") -> str:
    return (
        f"<|channel|>analysis<|message|>{analysis}<|end|><|start|>assistant<|channel|>final<|message|>{final}<|return|>"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (harmony("85"), "85"),
        ("<|channel|>final<|message|>cut off", "cut off"),
        ("<|channel|>final 明<|message|>x<|return|>", "x"),
        (" no channels ", "no channels"),
        ("", ""),
    ],
)
def test_final_text(text: str, expected: str) -> None:
    assert final_text(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (harmony("\\boxed{ 073 }"), "73"),
        (harmony("\\boxed{5} or rather \\boxed{6}"), "6"),
        ("Answer: 12", "12"),
        ("answer: 1\nAnswer: 34", "34"),
        ("\\boxed{1000}", None),
        ("Answer: 3.5", None),
        ("nothing", None),
    ],
)
def test_aime(text: str, expected: str | None) -> None:
    assert aime_answer(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (harmony("B"), "B"),
        (harmony("**(d)** because"), "D"),
        (harmony("Because of x, the answer: C."), "C"),
        (harmony("Because no letter", "FINAL ANSWER: (A) "), "A"),
        (harmony("Certainly not"), None),
        ("", None),
    ],
)
def test_choice(text: str, expected: str | None) -> None:
    assert choice_answer(text) == expected


@pytest.mark.parametrize(
    ("final", "expected"), [("85", "85"), ("085", "85"), ("it is 85", None), ("", None), ("8 5", None)]
)
def test_sum(final: str, expected: str | None) -> None:
    assert sum_answer(harmony(final)) == expected


@pytest.mark.parametrize(
    ("dataset", "text", "truth", "right"),
    [
        ("gpqa_diamond", harmony("B"), "b", True),
        ("AIME25", "\\boxed{73}", "073", True),
        ("aime25", "\\boxed{73}", "73.0", True),
        ("aime25", "\\boxed{70}", "7", False),
        ("sums", harmony("7"), "7", True),
        ("gpqa", "", "", False),
    ],
)
def test_right_or_wrong(dataset: str, text: str, truth: str, right: bool) -> None:
    kind = answer_kind(dataset)
    assert kind is not None
    assert kind.right(text, truth) is right


def test_code_is_not_judged_here() -> None:
    assert answer_kind("livecodebench_v6") is None
