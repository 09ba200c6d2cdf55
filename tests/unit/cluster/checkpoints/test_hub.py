"""The hub's two sources, against a server on this machine in the hub's place and a cache folder in its layout."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from huggingface_hub import constants

from cluster.checkpoints.errors import SourceUnavailable
from cluster.checkpoints.hub import HubCache, HubDownload, HubRepository
from cluster.checkpoints.pinned import PinnedFile
from cluster.checkpoints.progress import Silent
from tests.unit.cluster.checkpoints.file_server import FileServer

REVISION = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b"{}", "model.safetensors": b"weights"}
HUB = HubRepository(
    "org/name", REVISION, tuple(PinnedFile(n, len(c), hashlib.sha256(c).hexdigest()) for n, c in FILES.items())
)


def test_download_asks_for_the_pinned_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FileServer(FILES) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        paths = HubDownload(HUB).fetch(tmp_path, Silent())
        assert {name: path.read_bytes() for name, path in paths.items()} == FILES
        assert server.paths == [f"/org/name/resolve/{REVISION}/{name}" for name in FILES]


def test_offline_mode_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FileServer(FILES) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(SourceUnavailable, match="HF_HUB_OFFLINE"):
            HubDownload(HUB).fetch(tmp_path, Silent())
        assert server.paths == []


def test_local_copy_is_used_only_when_whole_and_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--org--name" / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes(FILES["config.json"])
    with pytest.raises(SourceUnavailable, match="not all of it"):
        HubCache(HUB).fetch(tmp_path, Silent())
    (snapshot / "model.safetensors").write_bytes(b"WEIGHTS")
    with pytest.raises(SourceUnavailable, match=r"model\.safetensors has SHA-256"):
        HubCache(HUB).fetch(tmp_path, Silent())
    (snapshot / "model.safetensors").write_bytes(FILES["model.safetensors"])
    assert HubCache(HUB).fetch(tmp_path, Silent())["model.safetensors"] == snapshot / "model.safetensors"
