"""The Ray cluster of this user that runs on this machine.

Ray's own search takes the address from any process whose name has `raylet` in it, whoever started that, and from a file
in a folder that every user may write. Whoever joins a cluster runs what its head says.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from cluster.ray_address import AUTO, LOCAL

PROCESSES = Path("/proc")
RAYLET, ADDRESS_FLAG = b"raylet", b"--gcs-address="
ROOT = 0
LATEST = "ray/ray_current_cluster"
"""Within the folder for temporary files: the address of the cluster that `ray start` has started last."""

logger = logging.getLogger("mixfleet.ray")


def cluster_to_join(address: str) -> str:
    """What `auto` stands for: the cluster of this user, or of root, on this machine; `local` where there is none. Every
    other address is what it is."""
    if address != AUTO:
        return address
    own: list[str] = []
    others: list[str] = []
    for user_is_trusted, found in _addresses():
        (own if user_is_trusted else others).append(found)
    if others and not own:
        logger.warning(
            "another user's Ray cluster runs on this machine and is not joined; RAY_ADDRESS=%s would join it", others[0]
        )
    latest = _latest()
    return latest if latest in own else next(iter(own), LOCAL)


def _addresses() -> Iterator[tuple[bool, str]]:
    """Of each raylet on this machine: whether this user or root has started it, and the address of its head."""
    for process in PROCESSES.glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            found = [word.removeprefix(ADDRESS_FLAG) for word in words if word.startswith(ADDRESS_FLAG)]
            if found and RAYLET in words[0].rpartition(b"/")[2]:
                trusted = _users(process) <= {ROOT, os.getuid()}
                yield trusted, found[0].decode(errors="replace")
        except OSError:  # it has ended meanwhile
            continue


def _users(process: Path) -> set[int]:
    """All of its user ids: a program that becomes root for another user has that one's, too."""
    lines = (process / "status").read_text().splitlines()
    return {int(word) for line in lines if line.startswith("Uid:") for word in line.split()[1:]}


def _latest() -> str:
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    try:
        return (Path(folder) / LATEST).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
