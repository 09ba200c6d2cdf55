from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from loadtest.data.checksums import Recorded, digest_of, md5_list, recorded

COMMIT = "d5c517c509f5aca99053897ef1de797d6d7e5aa5"
SHA256 = hashlib.sha256(b"data").hexdigest()
MD5 = hashlib.md5(b"data").hexdigest()


def put(file: Path, content: bytes | str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def test_digests(tmp_path: Path) -> None:
    file = put(tmp_path / "x", b"data")
    assert (digest_of(file, "md5"), digest_of(file, "sha256")) == (MD5, SHA256)


def test_nothing_is_recorded_of_a_lone_file(tmp_path: Path) -> None:
    assert recorded(put(tmp_path / "x", b"data")) is None


@pytest.mark.parametrize("line", ["{} acc/x.parquet", "{}  ./acc/x.parquet", "{} *acc/x.parquet"])
def test_the_list_of_mlcommons_downloader(tmp_path: Path, line: str) -> None:
    put(tmp_path / "gpt-oss-data.md5", f"# no digest\n{'0' * 32}  perf/y.parquet\n{line.format(MD5)}\n")
    file = put(tmp_path / "acc/x.parquet", b"data")
    assert recorded(file) == Recorded("gpt-oss-data.md5", "md5", MD5)
    assert recorded(put(tmp_path / "x.parquet", b"data")) is None


def test_names_with_spaces(tmp_path: Path) -> None:
    assert md5_list(put(tmp_path / "a.md5", f"{MD5}  a name.wav\r\n")) == {"a name.wav": MD5}


def test_a_folder_that_the_hubs_client_filled(tmp_path: Path) -> None:
    put(tmp_path / ".cache/huggingface/download/data/x.parquet.metadata", f"{COMMIT}\n{SHA256}\n1712656091.123\n")
    file = put(tmp_path / "data/x.parquet", b"data")
    assert recorded(file) == Recorded("the hub", "sha256", SHA256, COMMIT)


def test_the_hubs_cache(tmp_path: Path) -> None:
    blob = put(tmp_path / "blobs" / SHA256, b"data")
    file = tmp_path / "snapshots" / COMMIT / "data/x.parquet"
    file.parent.mkdir(parents=True)
    file.symlink_to(blob)
    assert recorded(file) == Recorded("the hub", "sha256", SHA256, COMMIT)


@pytest.mark.parametrize("content", ["", COMMIT, f"{COMMIT}\nnot-a-digest\n1.0", f"main\n{SHA256}\n"])
def test_a_record_that_says_nothing(tmp_path: Path, content: str) -> None:
    put(tmp_path / ".cache/huggingface/download/x.parquet.metadata", content)
    assert recorded(put(tmp_path / "x.parquet", b"data")) is None
