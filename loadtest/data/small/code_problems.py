"""Two trivial problems in LiveCodeBench's form, one that speaks to standard input and one that is a function."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from dataclasses import dataclass

Case = tuple[str, str]
"""Input and expected output."""


@dataclass(frozen=True)
class CodeProblem:
    """`function` is what the tests call; None where they speak to standard input. `solution` passes all of them."""

    id: str
    text: str
    shown: tuple[Case, ...]
    hidden: tuple[Case, ...]
    solution: str
    function: str | None = None


PROBLEMS = (
    CodeProblem(
        "small_sum",
        "Read two integers from standard input, one a line, and print their sum.",
        shown=(("1\n2\n", "3\n"),),
        hidden=(("-5\n5\n", "0\n"), ("1000000000000\n1\n", "1000000000001\n")),
        solution="print(int(input()) + int(input()))",
    ),
    CodeProblem(
        "small_reverse",
        "Complete the function `reverse(self, text: str) -> str` of the class Solution: it returns the text backwards.",
        shown=(('"abc"', '"cba"'),),
        hidden=(('""', '""'), ('"aab"', '"baa"')),
        solution="class Solution:\n    def reverse(self, text: str) -> str:\n        return text[::-1]",
        function="reverse",
    ),
)


def problem_line(problem: CodeProblem) -> str:
    """A line of LiveCodeBench's JSON. Hidden tests are packed as it packs them."""
    hidden = pickle.dumps(json.dumps(_cases(problem, problem.hidden)))
    row = {
        "question_title": problem.id,
        "question_content": problem.text,
        "platform": "small",
        "question_id": problem.id,
        "contest_id": "small",
        "contest_date": "2026-01-31T00:00:00",
        "starter_code": "",
        "difficulty": "easy",
        "public_test_cases": json.dumps(_cases(problem, problem.shown)),
        "private_test_cases": base64.b64encode(zlib.compress(hidden)).decode(),
        "metadata": json.dumps({"func_name": problem.function} if problem.function else {}),
    }
    return json.dumps(row)


def _cases(problem: CodeProblem, cases: tuple[Case, ...]) -> list[dict[str, str]]:
    kind = "functional" if problem.function else "stdin"
    return [{"input": given, "output": expected, "testtype": kind} for given, expected in cases]
