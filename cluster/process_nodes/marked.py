"""Processes that carry a node's name in their environment: found whatever their parent, their name or their group.

As a program it ends those of its own node, but for itself and those that it was started by.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

MARKER = "MIXFLEET_NODE"
LOOK_EVERY_S = 0.05
GRACE_S = 3.0
KILLED_WITHIN_S = 20.0


def marked(node: str) -> list[int]:
    """Ids of the running processes of a node, this one and its ancestors left out."""
    entry = f"{MARKER}={node}\0".encode()
    mine = set(_with_ancestors(os.getpid()))
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            carries = entry in (folder / "environ").read_bytes() + b"\0"
        except OSError:  # it has ended, or is another user's
            continue
        if carries and int(folder.name) not in mine:
            found.append(int(folder.name))
    return found


def end_marked(node: str, grace_s: float = GRACE_S) -> None:
    """Ends a node's processes: asks them all, and kills those that are left after `grace_s`. Those that they start
    meanwhile are ended too. Raises RuntimeError where some do not even die."""
    deadline = time.monotonic() + grace_s
    asked: set[int] = set()
    while pids := marked(node):
        late = time.monotonic() > deadline
        if time.monotonic() > deadline + KILLED_WITHIN_S:
            raise RuntimeError(f"processes {pids} of {node} do not die: see what they wait for (ps -o stat,wchan)")
        for pid in pids if late else set(pids) - asked:
            try:
                os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
            except ProcessLookupError:
                continue
        asked |= set(pids)
        time.sleep(LOOK_EVERY_S)


def _with_ancestors(pid: int) -> Iterator[int]:
    while pid:
        yield pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return


if __name__ == "__main__":
    end_marked(os.environ[MARKER])
