"""Which processes there are, from /proc."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from tests.support.session_home import MARKER


def alive(pid: int) -> bool:
    """Whether a process runs: one that only waits to be reaped does not."""
    return _state_and_parent(pid)[0] not in ("", "Z")


def gone(pids: Iterable[int], within_s: float) -> bool:
    """Whether all of them end within some seconds."""
    pids, deadline = list(pids), time.monotonic() + within_s
    while any(map(alive, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def descendants(of: int | None = None) -> set[int]:
    """Ids of the running processes that a process, by default this one, has started, and of those that they have."""
    parents = {int(entry.name): _state_and_parent(int(entry.name))[1] for entry in Path("/proc").glob("[0-9]*")}
    found: set[int] = set()
    new = {of or os.getpid()}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new}
        found |= new
    return {pid for pid in found if alive(pid)}


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return "", 0
    return fields[0], int(fields[1])


def parent(pid: int) -> int:
    return _state_and_parent(pid)[1]


def with_arguments(*wanted: str) -> set[int]:
    """Ids of the running processes whose command line has all these words."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if set(wanted) <= set(words):
            found.add(int(entry.parent.name))
    return found


def of_session() -> set[int]:
    """Ids of the processes that this session of tests has started, also of those that have left their parents."""
    mark = f"{MARKER}={os.environ[MARKER]}".encode()
    found = set()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in entry.read_bytes().split(b"\0"):
                found.add(int(entry.parent.name))
    return found
