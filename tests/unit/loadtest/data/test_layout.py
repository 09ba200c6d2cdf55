from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from loadtest.benchmarks.base import DataError, Mode
from loadtest.data.layout import official_file

PERF, ACC, GPQA = "perf/perf_eval_ref.parquet", "acc/acc_eval_ref.parquet", "acc/acc_eval_compliance_gpqa.parquet"
WANTED = [
    (Mode.PERFORMANCE, None, PERF),
    (Mode.ACCURACY, None, ACC),
    (Mode.PERFORMANCE, "TEST07", GPQA),
    (Mode.PERFORMANCE, "TEST09", PERF),
]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"PAR1")


@pytest.mark.parametrize("below", ["", "gpt-oss_data"])
@pytest.mark.parametrize(("mode", "compliance", "name"), WANTED)
def test_the_download_as_it_lies(tmp_path: Path, below: str, mode: Mode, compliance: str | None, name: str) -> None:
    touch(tmp_path / below, PERF, ACC, GPQA)
    assert official_file(tmp_path, mode, compliance) == tmp_path / below / name


@pytest.mark.parametrize(("mode", "compliance", "name"), WANTED[1:3])
def test_one_of_its_folders(tmp_path: Path, mode: Mode, compliance: str | None, name: str) -> None:
    touch(tmp_path, PERF, ACC, GPQA)
    assert official_file(tmp_path / "acc", mode, compliance) == tmp_path / name


def test_a_file_is_what_it_is(tmp_path: Path) -> None:
    touch(tmp_path, "my.parquet")
    assert official_file(tmp_path / "my.parquet", Mode.ACCURACY) == tmp_path / "my.parquet"


def test_the_only_file_of_a_folder_does_for_all(tmp_path: Path) -> None:
    touch(tmp_path, "my.parquet")
    assert official_file(tmp_path, Mode.ACCURACY) == official_file(tmp_path, Mode.PERFORMANCE, "TEST07")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"no perf/perf_eval_ref\.parquet in it, but no parquet file at all\. To get it:\n  bash"),
        (["a.parquet", "b.parquet"], r"but several others: a\.parquet, b\.parquet"),
        ([f"v3/{PERF}", f"v4/{PERF}"], r"holds several: .*v3.*v4.*; name the one that is meant"),
        (["acc/acc_eval_ref.parquet"], r"no perf/perf_eval_ref\.parquet in it"),
    ],
)
def test_a_folder_without_it_says_what_it_has(tmp_path: Path, names: list[str], message: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(DataError, match=message):
        official_file(tmp_path, Mode.PERFORMANCE)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such parquet file or folder"):
        official_file(tmp_path / "absent", Mode.PERFORMANCE)


def test_a_download_of_pickles_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "perf").mkdir()
    (tmp_path / "perf/perf_eval_ref.pkl").write_bytes(pickle.dumps([]))
    with pytest.raises(DataError, match=r"perf_eval_ref\.pkl: a pickle, which may run any program"):
        official_file(tmp_path, Mode.PERFORMANCE)
