"""Whether this process may become another user, as root may where other users exist at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.skips import skip_reason

NOBODY = 65_534


def exists(user: int, uid_map: str) -> bool:
    """Whether a user namespace has that user. `uid_map`: its file in /proc, of lines `first outside count`."""
    ranges = [list(map(int, line.split())) for line in uid_map.splitlines()]
    return any(first <= user < first + count for first, _, count in ranges)


needs_root = pytest.mark.skipif(
    os.getuid() != 0 or not exists(NOBODY, Path("/proc/self/uid_map").read_text()), reason=skip_reason("root")
)
