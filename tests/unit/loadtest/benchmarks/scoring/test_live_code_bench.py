from __future__ import annotations

import base64
import json
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.benchmarks.base import DataError
from loadtest.benchmarks.scoring import live_code_bench
from loadtest.benchmarks.scoring.live_code_bench import LiveCodeBench, Problem, hidden_tests


def packed(value: object, protocol: int = 4) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value, protocol))).decode()


def a_row(question: str = "q1", hidden: str | None = None, **changes: Any) -> str:
    """A line as LiveCodeBench publishes it."""
    row = {
        "question_title": "Add",
        "question_content": "Add two numbers.",
        "platform": "atcoder",
        "question_id": question,
        "contest_id": "abc",
        "contest_date": "2025-01-01T00:00:00",
        "starter_code": "",
        "difficulty": "easy",
        "public_test_cases": json.dumps([{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]),
        "private_test_cases": hidden or packed(json.dumps([{"input": "é", "output": "5", "testtype": "stdin"}])),
        "metadata": "{}",
    }
    return json.dumps(row | changes)


def write(folder: Path, *rows: str, name: str = "test.jsonl") -> Path:
    (folder / name).write_text("".join(f"{row}\n" for row in rows))
    return folder / name


def test_problems_by_question(tmp_path: Path) -> None:
    called = a_row("q2", "[]", metadata='{"func_name": "add"}')
    problems = LiveCodeBench(write(tmp_path, a_row(), "", called))
    assert len(problems) == 2
    assert problems["q1"] == Problem((("1 2\n", "3\n"), ("é", "5")), None)
    assert problems["q2"] == Problem((("1 2\n", "3\n"),), "add")
    assert "q3" not in problems


def test_json_instead_of_texts_that_hold_it(tmp_path: Path) -> None:
    case = {"input": "1", "output": "2"}
    row = json.loads(a_row()) | {"public_test_cases": [case], "private_test_cases": [case], "metadata": {}}
    assert LiveCodeBench(write(tmp_path, json.dumps(row)))["q1"] == Problem((("1", "2"),) * 2, None)


def test_a_folder_of_files(tmp_path: Path) -> None:
    write(tmp_path, a_row("q1"), a_row("q2"))
    write(tmp_path, a_row("é3"), name="test2.jsonl")
    problems = LiveCodeBench(tmp_path)
    assert len(problems) == 3
    assert len(problems["é3"].tests) == len(problems["q2"].tests) == 2


@given(st.text(), st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_packed_texts(text: str, protocol: int) -> None:
    assert hidden_tests(packed(text, protocol)) == text


class Evil:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_run_something(protocol: int, tmp_path: Path) -> None:
    made = tmp_path / "made"
    with pytest.raises(ValueError, match=r"a pickle that calls posix\.mkdir is not opened"):
        hidden_tests(packed(Evil(str(made)), protocol))
    assert not made.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (packed(["a"]), "a list instead of a text"),
        (packed(b"a"), "instead of a text|not opened"),
        ("é", "neither JSON nor packed"),
        ("AAAA", "neither JSON nor packed"),
        (base64.b64encode(zlib.compress(b"no pickle")).decode(), "neither JSON nor packed"),
        (base64.b64encode(zlib.compress(b"")).decode(), "neither JSON nor packed"),
        (base64.b64encode(zlib.compress(pickle.dumps("x" * 999))[:-8]).decode(), "cut off"),
    ],
)
def test_hidden_tests_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hidden_tests(text)


def test_no_more_is_unpacked_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_code_bench, "MOST_TEST_BYTES", 1000)
    assert hidden_tests(packed("x" * 900)) == "x" * 900
    with pytest.raises(ValueError, match="of more than 1000 bytes"):
        hidden_tests(packed("x" * 10**6))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not readable.*give the folder of livecodebench"):
        LiveCodeBench(tmp_path / "absent")
    with pytest.raises(DataError, match="holds no problems"):
        LiveCodeBench(tmp_path)
    with pytest.raises(DataError, match=r"test\.jsonl:2: not a problem"):
        LiveCodeBench(write(tmp_path, a_row(), '{"question": 1}'))
    for broken in (a_row(hidden="?"), a_row(metadata="[]"), a_row(public_test_cases="x"), a_row(metadata=None)):
        problems = LiveCodeBench(write(tmp_path, broken))
        with pytest.raises(DataError, match="question q1 cannot be read"):
            problems["q1"]
