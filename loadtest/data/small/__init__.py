"""Small data sets of the official formats, by benchmark: for tests, and to rehearse with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from cluster.durable import flush_all
from loadtest.command import Refused

Write = Callable[[Path], None]
"""Fills a folder."""

SMALL = {
    "whisper": "loadtest.data.small.speech",
    "qwen3-vl": "loadtest.data.small.catalogue",
    "gpt-oss": "loadtest.data.small.prompts",
}


def make_small(benchmark: str, out: Path) -> None:
    """Writes the benchmark's small set to the new folder `out`, and says how to try it. Raises Refused, OSError."""
    if out.exists():
        raise Refused(f"{out} exists already; name a new folder")
    module = import_module(SMALL[benchmark])
    writing = out.with_name(f".{out.name}.writing")
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir(parents=True)
    module.write(writing)
    flush_all(writing)
    writing.rename(out)
    for file in sorted(file for file in out.rglob("*") if file.is_file()):
        print(file)
    print(module.NEXT.format(out=out))
