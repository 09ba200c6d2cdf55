from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from loadtest.benchmarks.embedded import embedded_folder

calls: list[Path] = []


def write_note(folder: Path) -> None:
    calls.append(folder)
    (folder / "note").write_text("x")


def write_half(folder: Path) -> None:
    (folder / "note").write_text("x")
    raise OSError("disk full")


def test_written_once_by_many(tmp_path: Path) -> None:
    calls.clear()
    barrier = Barrier(4)

    def ask(_: int) -> Path:
        barrier.wait()
        return embedded_folder("set", write_note, tmp_path)

    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(ask, range(4)))
    assert len(folders) == len(calls) == 1
    assert (folders.pop() / "note").read_text() == "x"


def test_a_half_written_set_is_never_taken(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk full"):
        embedded_folder("set", write_half, tmp_path)
    assert (embedded_folder("set", write_note, tmp_path) / "note").exists()
