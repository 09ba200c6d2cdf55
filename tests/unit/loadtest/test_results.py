from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from loadtest.benchmarks.base import Answer
from loadtest.client import Outcome
from loadtest.results import SAMPLES, atomically, new_run_folder, read_summary, write_samples, write_summary, write_text


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    write_text(file, "old")

    def half(path: Path) -> None:
        path.write_text("ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        atomically(file, half)
    assert file.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.json"]


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    names = [new_run_folder(tmp_path / "results", "whisper-offline", now).name for _ in range(3)]
    assert names == ["whisper-offline-20260102T030405Z" + end for end in ("", "-2", "-3")]


def test_samples_are_in_order_and_labelled(tmp_path: Path) -> None:
    good = Outcome(1, 4, 10.0, 11.0, 1, Answer(b"x", 3, "text"), pool="amd")
    bad = Outcome(0, 9, 10.0, 12.0, 5, None, "status 500: no")
    write_samples(tmp_path, [good, bad], "quick: not an MLPerf result")
    table = pq.read_table(tmp_path / SAMPLES)
    assert table.schema.metadata[b"label"] == b"quick: not an MLPerf result"
    rows = table.to_pylist()
    assert [row["place"] for row in rows] == [0, 1]
    assert rows[0]["error"] == "status 500: no"
    assert (rows[0]["text"], rows[0]["tokens"]) == (None, 0)
    assert (rows[1]["text"], rows[1]["tokens"], rows[1]["pool"], rows[1]["error"]) == ("text", 3, "amd", None)


def test_a_run_without_samples_still_has_a_table(tmp_path: Path) -> None:
    write_samples(tmp_path, [], "x")
    assert pq.read_table(tmp_path / SAMPLES).num_rows == 0


def test_a_summary_that_is_none_is_refused(tmp_path: Path) -> None:
    write_summary(tmp_path, {"benchmark": "whisper"})
    assert read_summary(tmp_path) == {"benchmark": "whisper"}
    write_summary(tmp_path, {"other": 1})
    with pytest.raises(ValueError, match="no summary of a load test"):
        read_summary(tmp_path)
