from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadtest.batch.replies import failure_line
from loadtest.batch.store import ERRORS, OUTPUT, Store, recovered
from loadtest.command import Refused


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "in.jsonl"
    file.write_text("{}\n")
    return file


def test_answers_and_failures_are_found_again(tmp_path: Path, source: Path) -> None:
    with Store(tmp_path / "out", source, None) as store:
        store.add([{"custom_id": "a"}, {"custom_id": "b"}], [failure_line("c", "status 400: no")])
    with Store(tmp_path / "out", source, None) as store:
        assert (store.answered, store.failed) == ({"a", "b"}, {"c"})
        store.forget_failures()
        store.add([{"custom_id": "c"}], [])
    assert (tmp_path / "out" / ERRORS).read_text() == ""
    lines = [json.loads(line)["custom_id"] for line in (tmp_path / "out" / OUTPUT).read_text().splitlines()]
    assert lines == ["a", "b", "c"]


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


def test_one_process_at_a_time_and_one_input(tmp_path: Path, source: Path) -> None:
    with (
        Store(tmp_path / "out", source, None),
        pytest.raises(Refused, match="another process works"),
        Store(tmp_path / "out", source, None),
    ):
        pass
    with pytest.raises(Refused, match="answers of another batch"), Store(tmp_path / "out", source, "other"):
        pass
    source.write_text("{}\n{}\n")
    with pytest.raises(Refused, match="answers of another batch"), Store(tmp_path / "out", source, None):
        pass
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / OUTPUT).write_text("")
    with pytest.raises(Refused, match="something else"), Store(tmp_path / "strange", source, None):
        pass


def test_what_stands_in_both_files_was_answered(tmp_path: Path, source: Path) -> None:
    with Store(tmp_path / "out", source, None) as store:
        store.add([{"custom_id": "a"}], [failure_line("a", "x")])
    with Store(tmp_path / "out", source, None) as store:
        assert (store.answered, store.failed) == ({"a"}, set())
