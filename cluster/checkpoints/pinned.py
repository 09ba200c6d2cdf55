"""A file whose content is known beforehand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 20


@dataclass(frozen=True)
class PinnedFile:
    """A file's name, its size in bytes and the SHA-256 of its content in hexadecimal."""

    name: str
    size: int
    sha256: str

    def flaw(self, path: Path) -> str | None:
        """What is wrong with the file at `path`, or None where it is the pinned one."""
        if not path.is_file():
            return f"{self.name} is missing"
        if (size := path.stat().st_size) != self.size:
            return f"{self.name} has {size} bytes instead of {self.size}"
        if (digest := sha256_of(path)) != self.sha256:
            return f"{self.name} has SHA-256 {digest} instead of {self.sha256}"
        return None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
