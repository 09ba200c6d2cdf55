"""Digests of files, and what the tools that downloaded them wrote down beside them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

MOST_LEVELS = 3
"""Folders above a file in which a download's records are sought."""

_MD5_LINE = re.compile(r"(?P<digest>[0-9a-f]{32})\s+\*?(?:\./)?(?P<name>.+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Recorded:
    """What a download's own record says of a file: MLCommons' downloader keeps an MD5 list, the hub's client a commit
    and the file's SHA-256."""

    source: str
    algorithm: str
    digest: str
    revision: str | None = None


def digest_of(file: Path, algorithm: str) -> str:
    """Hexadecimal digest of a file. Raises OSError."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, algorithm).hexdigest()


def recorded(file: Path) -> Recorded | None:
    """What is written down of the file; None where nothing is."""
    return _of_hub(file) or _of_md5_list(file)


def _of_md5_list(file: Path) -> Recorded | None:
    """From `NAME.md5` in the folder of the download, which names files from there."""
    for folder in list(file.absolute().parents)[:MOST_LEVELS]:
        name = file.absolute().relative_to(folder).as_posix()
        for listing in sorted(folder.glob("*.md5")):
            if digest := md5_list(listing).get(name):
                return Recorded(listing.name, "md5", digest)
    return None


@lru_cache(maxsize=8)
def md5_list(listing: Path) -> dict[str, str]:
    """Digests by file name, of a list as md5sum writes it."""
    lines = listing.read_text(encoding="utf-8", errors="replace").splitlines()
    return {found["name"]: found["digest"] for line in lines if (found := _MD5_LINE.fullmatch(line.strip()))}


def _of_hub(file: Path) -> Recorded | None:
    """From the hub client's records: beside a file of a local folder, or in its cache's own paths."""
    for folder in list(file.absolute().parents)[:MOST_LEVELS]:
        name = file.absolute().relative_to(folder)
        metadata = folder / ".cache" / "huggingface" / "download" / f"{name}.metadata"
        if metadata.is_file():
            commit, etag, *_ = [*metadata.read_text(encoding="utf-8").split(), "", ""]
            return _hub_record(commit, etag)
        if folder.parent.name == "snapshots":
            return _hub_record(folder.name, file.resolve().name)
    return None


def _hub_record(commit: str, etag: str) -> Recorded | None:
    if not (_COMMIT.fullmatch(commit) and _SHA256.fullmatch(etag)):
        return None
    return Recorded("the hub", "sha256", etag, commit)
