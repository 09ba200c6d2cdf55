from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.benchmarks.base import DataError
from loadtest.benchmarks.scoring.code_tests import NO_CODE, WRONG, CodeTests, printed_right, returned_right
from loadtest.benchmarks.scoring.live_code_bench import LiveCodeBench
from loadtest.benchmarks.scoring.sandbox.confinement import Limits
from loadtest.benchmarks.scoring.sandbox.sandbox import ERROR, TIME_LIMIT, Sandbox, SandboxError
from loadtest.benchmarks.scoring.tally import PASSED
from tests.support.jailed import require_namespaces


@pytest.mark.parametrize(
    ("printed", "expected", "right"),
    [
        ("3\n", "3", True),
        ("  3  \n\n", "3\n", True),
        ("1 2 3", "1  2 3", True),
        ("1.50", "1.5", True),
        ("1e2", "100", True),
        ("+5", "5", True),
        ("0.30000000000000004", "0.3", False),
        ("100000000000000001", "100000000000000000", False),
        ("YES", "Yes", False),
        ("Yes  No", "Yes No", False),
        ("1\n2", "1\n2\n", True),
        ("1\n\n2", "1\n2", False),
        ("1 2", "1\n2", False),
        ("", "", True),
        ("", "1", False),
        ("nan", "NaN", False),
        ("sNaN", "1", False),
        ("é", "é", True),
        ("1,000", "1000", False),
        ("0x10", "16", False),
    ],
)
def test_what_is_printed(printed: str, expected: str, right: bool) -> None:
    assert printed_right(printed, expected) is right


@pytest.mark.parametrize(
    ("returned", "expected", "right"),
    [
        ("[1, 2]", "[1,2]", True),
        ("1.0", "1", True),
        ("true", "1", True),
        ('{"a": null}', '{"a":null}', True),
        ('"1"', "1", False),
        ("[1]", "[1, 2]", False),
        ("0.30000000000000004", "0.3", False),
        ("NaN", "NaN", False),
        ("junk", "1", False),
        ("1", "junk", False),
        ("[" * 100_000, "1", False),
    ],
)
def test_what_is_returned(returned: str, expected: str, right: bool) -> None:
    assert returned_right(returned, expected) is right


@given(st.text())
def test_a_text_is_what_it_is(text: str) -> None:
    assert printed_right(text, text)
    assert printed_right(f"\n{text} \n", text)


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False), min_size=1), st.integers(0, 3))
def test_numbers_by_value(numbers: list[object], zeros: int) -> None:
    expected = " ".join(map(str, numbers))
    padded = "  ".join(f"{number:f}{'' if '.' in f'{number:f}' else '.'}{'0' * zeros}" for number in numbers)
    assert printed_right(padded, expected)
    assert not printed_right(f"{padded} 1", expected)


def problem(question: str, tests: list[tuple[str, str]], function: str | None = None) -> str:
    kind = "functional" if function else "stdin"
    cases = [{"input": given, "output": expected, "testtype": kind} for given, expected in tests]
    row = {
        "question_id": question,
        "public_test_cases": json.dumps(cases[:1]),
        "private_test_cases": json.dumps(cases[1:]),
        "metadata": json.dumps({"func_name": function} if function else {}),
    }
    return json.dumps(row)


@pytest.fixture(scope="module")
def tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CodeTests]:
    file = tmp_path_factory.mktemp("lcb") / "test.jsonl"
    adding = problem("add", [("1 2\n", "3\n"), ("2 2\n", "4\n"), ("5 5\n", "10\n")])
    calling = problem("call", [("[1, 2]\n3", "6"), ("[]\n0", "0")], "total")
    file.write_text(f"{adding}\n{calling}\n")
    require_namespaces()
    with Sandbox(Limits(step_s=10.0)) as sandbox:
        yield CodeTests(LiveCodeBench(file), sandbox, workers=2)


ADD = "a, b = map(int, input().split())\nprint(a + b)"
CALL = "class Solution:\n    def total(self, a: List[int], b: int) -> int:\n        return sum(a) + b"


def test_programs_and_what_becomes_of_them(tests: CodeTests) -> None:
    answers = {
        ("add", ADD): PASSED,
        ("add", "print(3)"): WRONG,
        ("add", "print(input())"): WRONG,
        ("add", "print(1 / 0)"): ERROR,
        ("add", "print("): ERROR,
        ("add", None): NO_CODE,
        ("add", ""): NO_CODE,
        ("call", CALL): PASSED,
        ("call", CALL.replace("+ b", "")): WRONG,
        ("call", CALL.replace("total", "sum")): ERROR,
        ("call", "def total(a, b):\n    return sum(a) + b"): PASSED,
    }
    assert tests.outcomes(list(answers)) == list(answers.values())
    assert tests.outcomes([]) == []


def test_a_program_that_is_too_slow(tests: CodeTests) -> None:
    with Sandbox(Limits(step_s=0.3)) as sandbox:
        hasty = CodeTests(tests.problems, sandbox, workers=1)
        assert hasty.outcomes([("add", "while True: pass"), ("add", ADD)]) == [TIME_LIMIT, PASSED]


def test_a_question_that_the_file_lacks(tests: CodeTests) -> None:
    with pytest.raises(DataError, match="1 of the questions are not among LiveCodeBench's, xyz the first"):
        tests.outcomes([("add", ADD), ("xyz", ADD)])


def test_without_a_sandbox_nothing_counts_as_wrong(tests: CodeTests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.benchmarks.scoring.sandbox.sandbox.readable_folders", lambda: ("/no/such",))
    unproved = Sandbox()
    with pytest.raises(SandboxError, match="/no/such"):
        CodeTests(tests.problems, unproved, workers=2).outcomes([("add", ADD)] * 5)
    unproved.__exit__()
