"""Downloads against a real HTTP server on this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cluster.checkpoints.download import download
from cluster.checkpoints.errors import SourceUnavailable
from cluster.checkpoints.pinned import PinnedFile
from cluster.checkpoints.progress import Silent
from tests.unit.cluster.checkpoints.file_server import FileServer

CONTENT = bytes(range(256)) * 5000
FILE = PinnedFile("weights.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def fetch(server: FileServer, folder: Path) -> Path:
    return download(server.url(FILE.name), FILE, folder / FILE.name, Silent())


def test_whole_file_then_not_again(tmp_path: Path) -> None:
    with FileServer({FILE.name: CONTENT}) as server:
        assert fetch(server, tmp_path).read_bytes() == CONTENT
        fetch(server, tmp_path)
        assert server.ranges == [None]
    assert [path.name for path in tmp_path.iterdir()] == [FILE.name]


def test_a_broken_connection_is_resumed_where_it_stopped(tmp_path: Path) -> None:
    with FileServer({FILE.name: CONTENT}, breaks_after=400_000) as server:
        with pytest.raises(SourceUnavailable, match="400000 bytes instead of 1280000"):
            fetch(server, tmp_path)
        assert not (tmp_path / FILE.name).exists()
        server.breaks_after = None
        assert fetch(server, tmp_path).read_bytes() == CONTENT
        assert server.ranges == [None, "bytes=400000-"]


def test_a_server_without_ranges_starts_over(tmp_path: Path) -> None:
    (tmp_path / f"{FILE.name}.part").write_bytes(b"x" * 1000)
    with FileServer({FILE.name: CONTENT}, knows_ranges=False) as server:
        assert fetch(server, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"?", CONTENT + b"more"])
def test_other_content_is_refused_and_not_kept(tmp_path: Path, content: bytes) -> None:
    with FileServer({FILE.name: content}) as server, pytest.raises(SourceUnavailable, match="instead of"):
        fetch(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_other_content_is_not_kept_either(tmp_path: Path) -> None:
    (tmp_path / f"{FILE.name}.part").write_bytes(b"x" * 1000)
    with FileServer({FILE.name: CONTENT}) as server:
        with pytest.raises(SourceUnavailable, match="SHA-256"):
            fetch(server, tmp_path)
        assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_missing_file_and_missing_server_say_so(tmp_path: Path) -> None:
    with FileServer({}) as server:
        with pytest.raises(SourceUnavailable, match=r"weights\.bin: Not Found"):
            fetch(server, tmp_path)
        url = server.url(FILE.name)
    with pytest.raises(SourceUnavailable, match="refused"):
        download(url, FILE, tmp_path / FILE.name, Silent())
