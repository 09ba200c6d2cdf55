"""Puts on disk what was written, before it gets its name."""

from __future__ import annotations

import os
from pathlib import Path


def flush(path: Path) -> None:
    """Forces a file, or a folder's own list of names, out of the page cache. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_all(folder: Path) -> None:
    """The same for a folder and all that lies below it."""
    for path in folder.rglob("*"):
        flush(path)
    flush(folder)
