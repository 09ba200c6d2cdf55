"""Files that processes of the fleet log to, in a folder that every user may write: Ray makes its own so.

Whoever may write the folder may put a link there under a log's name, and so have its lines appended to a file of ours.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

ATTEMPTS = 3
"""Others may put something there again meanwhile."""

UNBLOCKED = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Follows no link, and waits for no reader of a named pipe."""


def append_to(path: Path) -> BinaryIO:
    """The log, made with mode 0600 where it is not there. What is there and is no file of this user's own is removed.

    Raises OSError.
    """
    for _ in range(ATTEMPTS):
        if file := _own(path, os.O_WRONLY | os.O_APPEND, "ab"):
            return file
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        with contextlib.suppress(FileExistsError):
            made = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | UNBLOCKED, 0o600)
            return os.fdopen(made, "ab")
    raise FileExistsError(f"{path}: another user puts something else there again and again")


def read_from(path: Path) -> BinaryIO:
    """Raises OSError, also where it is no file of this user's own."""
    file = _own(path, os.O_RDONLY, "rb")
    if file is None:
        raise FileNotFoundError(f"{path}: no log of this user's own")
    return file


def _own(path: Path, flags: int, mode: str) -> BinaryIO | None:
    """None where there is no file with one name that belongs to this user. Devices are root's own making."""
    try:
        descriptor = os.open(path, flags | UNBLOCKED)
    except OSError:
        return None
    found = os.fstat(descriptor)
    own = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1
    if own or stat.S_ISCHR(found.st_mode):
        return os.fdopen(descriptor, mode)  # type: ignore[return-value]  # binary, by its mode
    os.close(descriptor)
    return None
