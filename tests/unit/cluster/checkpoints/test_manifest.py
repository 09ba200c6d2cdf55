"""A folder is whole exactly when every file of it is the one that was listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.checkpoints.manifest import MANIFEST, Manifest, flaw


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "weights").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    Manifest.of(tmp_path, "toy", "a source").write(tmp_path)
    return tmp_path


def test_reads_what_it_wrote(folder: Path) -> None:
    manifest = Manifest.read(folder)
    assert (manifest.checkpoint, manifest.source) == ("toy", "a source")
    assert [file.name for file in manifest.files] == ["below/weights", "config.json"]
    assert flaw(folder) is None
    assert flaw(folder, verify=True) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "cannot be read"), ("[]", "cannot be read"), ('{"files": {"a": 1}}', "cannot be read")],
)
def test_a_broken_manifest_is_a_flaw(folder: Path, content: str, said: str) -> None:
    (folder / MANIFEST).write_text(content)
    assert said in str(flaw(folder))


def test_flaws_name_the_file(folder: Path) -> None:
    (folder / "config.json").write_text("[]")
    assert flaw(folder) is None
    assert str(flaw(folder, verify=True)).startswith("config.json has SHA-256")
    (folder / "below" / "weights").write_bytes(b"")
    assert flaw(folder) == "below/weights has 0 bytes instead of 7"
    (folder / "below" / "weights").unlink()
    assert flaw(folder) == "below/weights is missing"
    assert flaw(folder / "nowhere") == "it is not there"
