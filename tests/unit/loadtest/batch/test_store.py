from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadtest.batch.store import ERRORS, IDENTITY, OUTPUT, Store, recovered
from loadtest.command import Refused


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "in.jsonl"
    file.write_text("{}\n")
    return file


def held(folder: Path, source: Path, lines: int = 3, model: str | None = None) -> Store:
    return Store(folder, source, lines, model)


def ids(file: Path) -> list[str]:
    return [json.loads(line)["custom_id"] for line in file.read_text().splitlines()]


def test_answers_and_failures_are_found_again(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out"
    with held(out, source) as store:
        assert store.open == 3
        store.add([{"custom_id": "a"}, {"custom_id": "b"}], [{"custom_id": "c"}])
        assert store.open == 0
    with held(out, source) as store:
        assert (store.answered, store.failed, store.open) == ({"a", "b"}, {"c"}, 0)
        store.forget_failures()
        assert (store.open, ids(out / ERRORS)) == (1, [])
        store.add([{"custom_id": "c"}], [])
    assert (ids(out / OUTPUT), ids(out / ERRORS)) == (["a", "b", "c"], [])


def test_what_is_added_lies_on_disk_at_once(tmp_path: Path, source: Path) -> None:
    with held(tmp_path / "out", source) as store:
        store.add([{"custom_id": "a"}], [{"custom_id": "b"}])
        assert (ids(tmp_path / "out" / OUTPUT), ids(tmp_path / "out" / ERRORS)) == (["a"], ["b"])


@given(names=st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6, unique=True), data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_kill_at_any_byte_leaves_whole_lines(names: list[str], data: st.DataObject, tmp_path: Path) -> None:
    file = tmp_path / "output.jsonl"
    lines = [json.dumps({"custom_id": name, "response": {"body": "x" * 20}}).encode() + b"\n" for name in names]
    content = b"".join(lines)
    kept = data.draw(st.integers(0, len(content)))
    file.write_bytes(content[:kept])
    whole = 0
    while whole < len(lines) and sum(map(len, lines[: whole + 1])) <= kept:
        whole += 1
    assert recovered(file) == set(names[:whole])
    assert file.read_bytes() == b"".join(lines[:whole])


def test_a_whole_line_that_is_none_costs_no_answer(tmp_path: Path) -> None:
    file = tmp_path / OUTPUT
    content = '{"custom_id":"a"}\n\n{"custom_id":"b"}\n'
    file.write_text(content)
    with pytest.raises(Refused, match=r"output\.jsonl:2: no line of a batch"):
        recovered(file)
    assert file.read_text() == content


def test_one_process_at_a_time(tmp_path: Path, source: Path) -> None:
    with (
        held(tmp_path / "out", source),
        pytest.raises(Refused, match="another process works"),
        held(tmp_path / "out", source),
    ):
        pass
    with held(tmp_path / "out", source):
        pass


def test_one_input_and_model(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out"
    with held(out, source):
        pass
    told = json.loads((out / IDENTITY).read_text())
    assert (told["input"], told["lines"], len(told["sha256"]), told["model"]) == ("in.jsonl", 3, 64, None)
    with held(out, source.rename(tmp_path / "renamed.jsonl")):
        pass
    source.write_text("{}\n")
    with pytest.raises(Refused, match="was begun without --model"), held(out, source, model="m"):
        pass
    source.write_text("{}\n{}\n")
    with pytest.raises(Refused, match=r"another input, in\.jsonl of 3 lines"), held(out, source):
        pass


def test_a_folder_of_something_else(tmp_path: Path, source: Path) -> None:
    (tmp_path / OUTPUT).write_text("")
    with pytest.raises(Refused, match=r"holds output\.jsonl of something else"), held(tmp_path, source):
        pass
    (tmp_path / IDENTITY).write_text("[]")
    with pytest.raises(Refused, match=r"batch\.json: unreadable"), held(tmp_path, source):
        pass


def test_what_stands_in_both_files_was_answered(tmp_path: Path, source: Path) -> None:
    with held(tmp_path / "out", source) as store:
        store.add([{"custom_id": "a"}], [{"custom_id": "a"}])
    with held(tmp_path / "out", source) as store:
        assert (store.answered, store.failed) == ({"a"}, set())
