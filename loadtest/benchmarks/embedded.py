"""The embedded data sets: written once, in the official formats, into a cache folder beside the checkpoints."""

from __future__ import annotations

import hashlib
import inspect
import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from filelock import FileLock

from cluster.checkpoints import default_cache
from cluster.durable import flush_all


def raw_data(kind: str) -> Path:
    """The folder of raw data of that kind which comes with the project."""
    return Path(str(resources.files("loadtest"))) / "benchmarks" / "data" / kind


def embedded_folder(name: str, write: Callable[[Path], None], cache: Path | None = None) -> Path:
    """The folder that `write` fills, written at first use; safe in concurrent processes.

    Another version of the module that defines `write` gives another folder.
    """
    source = Path(inspect.getfile(write)).read_bytes()
    home = cache or default_cache().parent / "datasets"
    folder = home / f"{name}-{hashlib.sha256(source).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / f".{folder.name}.lock"):
        if not folder.is_dir():
            writing = home / f".{folder.name}.writing"
            shutil.rmtree(writing, ignore_errors=True)
            writing.mkdir()
            write(writing)
            flush_all(writing)
            writing.rename(folder)
    return folder
