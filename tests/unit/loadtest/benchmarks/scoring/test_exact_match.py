from __future__ import annotations

import pytest

from loadtest.benchmarks.scoring.exact_match import (
    aime_answer,
    answer_kind,
    choice_answer,
    code_answer,
    final_text,
    repeats,
    sum_answer,
)


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
        ("<|channel|>final537<|message|> x \n", "x"),
        (harmony("first") + harmony("second"), "first"),
        ("<|channel|>final<|message|>a\nb<|return|>\n", "a\nb"),
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
        ("\\boxed{1000} Answer: 5", None),
        ("\\boxed{0}", "0"),
        ("\\boxed{000}", "0"),
        ("\\boxed{1,000} so the answer: 12", "12"),
        ("\\boxed{\\text{73}}", None),
        ("\\boxed{-5}", None),
        ("\\boxed{٧٣}", "73"),
        ("\\boxed{" + "1" * 5000 + "}", None),
        ("Answer: 1,000", "1"),
        ("Answer: 3.5", None),
        ("Answer: 35.", None),
        ("ANSWER:   204 ", "204"),
        ("**Answer:** 204", None),
        ("Answer: \\boxed{7} or Answer: 8", "7"),
        ("nothing", None),
        ("", None),
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
        (harmony("(A) or (B)"), "A"),
        (harmony("['C']"), "C"),
        (harmony('["C"]'), "C"),
        (harmony("\\n\\nD"), "D"),
        (harmony("answer: **B**"), "B"),
        (harmony("answer: **B"), None),
        (harmony("答案 B"), "B"),
        (harmony("E"), None),
        (harmony("It is so. Answer B", "answer: A"), "B"),
        (harmony("I cannot tell", "answer = (C)\nANSWER: D."), "D"),
        (harmony("I cannot tell", "the answer: Dog"), None),
        ("FINAL  ANSWER = b", "B"),
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
        ("gpqa_diamond", harmony("B"), "B ", False),
        ("gpqa_diamond", harmony("E"), "E", False),
        ("aime25", "\\boxed{73}", " 73 ", True),
        ("aime25", "\\boxed{73}", "seventy-three", False),
    ],
)
def test_right_or_wrong(dataset: str, text: str, truth: str, right: bool) -> None:
    kind = answer_kind(dataset)
    assert kind is not None
    assert kind.right(text, truth) is right


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (harmony("```python\nprint(1)\n```"), "print(1)"),
        (harmony("```python\nprint(1)\n```\nor\n```python\nprint(2)\n```"), "print(2)"),
        (harmony("```python\nprint(1)\n```\nprints\n```\n1\n```"), "print(1)"),
        (harmony("```\nprint(1)\n```"), "print(1)"),
        (harmony("```py\nprint(1)\n```"), "print(1)"),
        (harmony("```PY\nprint(1)\n```"), "print(1)"),
        (harmony("see above", "```python\nprint(3)\n```"), "print(3)"),
        (harmony("```python\nprint(1)"), None),
        ("```python\nprint('é')\n```", "print('é')"),
        ("print(1)", None),
        (harmony("``````"), ""),
        ("", None),
    ],
)
def test_code(text: str, code: str | None) -> None:
    assert code_answer(text) == code


@pytest.mark.parametrize(
    ("dataset", "times", "runs_code"),
    [
        ("aime25", 8, False),
        ("GPQA_Diamond", 5, False),
        ("livecodebench_v6", 3, True),
        ("gpqa", 1, False),
        ("sums", 1, False),
        ("my-livecodebench-2", 1, True),
    ],
)
def test_data_sets(dataset: str, times: int, runs_code: bool) -> None:
    kind = answer_kind(dataset)
    assert kind is not None
    assert (repeats(dataset), kind.runs_code) == (times, runs_code)


def test_a_data_set_that_nobody_knows() -> None:
    assert answer_kind("mmlu") is None
