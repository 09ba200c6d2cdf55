"""The list of a prepared folder's files, written last: a folder without one was never finished."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.checkpoints.pinned import PinnedFile, sha256_of

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """What a prepared folder holds and which source it came from."""

    checkpoint: str
    source: str
    files: tuple[PinnedFile, ...]

    @classmethod
    def of(cls, folder: Path, checkpoint: str, source: str) -> Manifest:
        """Reads every file below `folder` and notes its size and hash."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        files = (PinnedFile(p.relative_to(folder).as_posix(), p.stat().st_size, sha256_of(p)) for p in paths)
        return cls(checkpoint, source, tuple(files))

    def write(self, folder: Path) -> None:
        files = {file.name: {"size": file.size, "sha256": file.sha256} for file in self.files}
        content = {"checkpoint": self.checkpoint, "source": self.source, "files": files}
        (folder / MANIFEST).write_text(json.dumps(content, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Raises OSError where there is none, ValueError where it is not a manifest."""
        content: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        try:
            files = tuple(PinnedFile(name, file["size"], file["sha256"]) for name, file in content["files"].items())
            return cls(content["checkpoint"], content["source"], files)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{MANIFEST} lacks {error}") from error


def flaw(folder: Path, verify: bool = False) -> str | None:
    """What is wrong with a prepared folder, or None: every file's size, with `verify` its SHA-256 too."""
    if not folder.is_dir():
        return "it is not there"
    try:
        files = Manifest.read(folder).files
    except OSError:
        return f"{MANIFEST} is missing"
    except ValueError as error:
        return f"{MANIFEST} cannot be read: {error}"
    if not files:
        return f"{MANIFEST} lists no file"
    check = PinnedFile.flaw if verify else _wrong_size
    return next((found for file in files if (found := check(file, folder / file.name))), None)


def _wrong_size(file: PinnedFile, path: Path) -> str | None:
    try:
        size = path.stat().st_size
    except OSError:
        return f"{file.name} is missing"
    return None if size == file.size else f"{file.name} has {size} bytes instead of {file.size}"
