"""Programs as LiveCodeBench runs them, oddities and all. These run in this process: they are ours."""

from __future__ import annotations

import json
import textwrap
from collections import OrderedDict
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from loadtest.benchmarks.scoring.sandbox.program import load, plain


def prints(program: str, text: str = "") -> str:
    return load(textwrap.dedent(program), None)(text)


@pytest.mark.parametrize(
    ("program", "text", "printed"),
    [
        ("print(int(input()) + 1)", "41\n", "42\n"),
        ("n = int(input('n? '))\nprint(n)", "7", "n? 7\n"),
        ("import sys\nprint(sum(map(int, sys.stdin.read().split())))", "1 2\n3\n", "6\n"),
        ("import sys\nprint(len(sys.stdin.readlines()))", "a\nb\n", "3\n"),
        ("import sys\nprint(sys.stdin.buffer.read().decode())", "é\n", "é\n\n"),
        ("def main():\n    print(1)\nif __name__ == '__main__':\n    main()", "", "1\n"),
        ("print(1)\nexit()\nprint(2)", "", "1\n"),
        ("print(gcd(4, 6), math.pi > 3, Counter('aa')['a'], sqrt(4))", "", "2 True 2 2.0\n"),
        ("import sys\nprint('x')\nsys.stdout.close()", "", "x\n"),
        ("print(input() + input())", "a\nb\n", "ab\n"),
        ("def f(n):\n    return n and 1 + f(n - 1)\nprint(f(5000))", "", "5000\n"),
        ("print('no input', end='')", "unread", "no input"),
    ],
)
def test_programs_that_read_and_print(program: str, text: str, printed: str) -> None:
    assert prints(program, text) == printed


@pytest.mark.parametrize(
    ("program", "text", "error"),
    [
        ("calls = 0\ndef f():\n    global calls\n    calls += 1\nf()", "", NameError),
        ("if __name__ == '__main__':\n    print(1)\nx = 1\nprint(y)", "", NameError),
        ("input()\ninput()", "a\n\nb", EOFError),
        ("input()\ninput()", "a", StopIteration),
        ("import sys\nfor line in sys.stdin:\n    print(line)", "a\n", TypeError),
        ("import sys\nsys.stdout.buffer.write(b'x')", "", AttributeError),
        ("import os", "", SyntaxError),
        ("from __future__ import annotations\nprint(1)", "", SyntaxError),
        ("print(", "", SyntaxError),
        ("", "", SyntaxError),
        ("class Solution:\n    pass\nprint(1)", "", KeyError),
        ("1 / 0", "", ZeroDivisionError),
    ],
)
def test_programs_that_fail_there_fail_here(program: str, text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        prints(program, text)


def test_a_binary_readline_gives_the_first_line_for_ever() -> None:
    program = "import sys\nline = sys.stdin.buffer.readline\nprint(line().decode() + line().decode(), end='')"
    assert prints(program, "a\nb\n") == "a\na\n"


def test_tests_do_not_see_one_another() -> None:
    run = load("kept = []\nkept.append(input())\nprint(kept)", None)
    assert [run("a"), run("b")] == ["['a']\n", "['b']\n"]


@pytest.mark.parametrize(
    ("program", "function", "text", "value"),
    [
        ("class Solution:\n    def add(self, a, b):\n        return a + b", "add", "1\n2", 3),
        ("def twice(words: List[str]) -> List[str]:\n    return words * 2", "twice", '["a"]', ["a", "a"]),
        ("def pair(x):\n    return x, x", "pair", "null", [None, None]),
        ("def loud(x):\n    print('hm')\n    return not x", "loud", "true", False),
    ],
)
def test_programs_that_are_called(program: str, function: str, text: str, value: Any) -> None:
    assert json.loads(load(program, function)(text)) == value


@pytest.mark.parametrize(
    ("program", "text", "error"),
    [
        ("def other():\n    pass", "1", AttributeError),
        ("def f(x):\n    return {x}", "1", TypeError),
        ("def f(x):\n    return [(x, x)]", "1", TypeError),
        ("def f(x):\n    return {x: x}", "1", TypeError),
        ("def f(x):\n    return x", "one", ValueError),
        ("def f(x):\n    x.append(x)\n    return x", "[]", RecursionError),
    ],
)
def test_calls_that_fail(program: str, text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        load(program, "f")(text)


def test_values_that_json_can_hold() -> None:
    assert plain([np.int64(3), np.float64(0.5), np.bool_(True), None, "é"]) == [3, 0.5, True, None, "é"]
    assert plain(OrderedDict(a=[1])) == {"a": [1]}
    for value in ({1}, Decimal(1), np.array([1]), object(), (1,), {1: 1}):
        with pytest.raises(TypeError):
            plain(value)
