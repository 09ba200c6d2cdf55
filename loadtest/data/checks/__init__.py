"""Checks of the official data sets, by benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from loadtest.data.checks.finding import Finding
from loadtest.data.official import Kind

Check = Callable[[Path, Kind], Iterator[Finding]]
"""Yields what it finds of the set of that kind at that path. Raises DataError where it cannot be read at all."""

CHECKS = {
    "whisper": "loadtest.data.checks.speech",
    "qwen3-vl": "loadtest.data.checks.catalogue",
    "gpt-oss": "loadtest.data.checks.prompts",
}


def check_of(benchmark: str) -> Check:
    """The check of a benchmark's data. Raises KeyError for an unknown one."""
    check: Check = import_module(CHECKS[benchmark]).check
    return check
