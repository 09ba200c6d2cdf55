"""A folder for an engine's Unix sockets: their addresses have at most 107 bytes, and temporary folders may be long."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

ADDRESS_BYTES = 107
"""Of `sockaddr_un.sun_path`, without the zero at its end."""

NAME_BYTES = 37
"""A slash and the longest name of a socket: vLLM names its own by UUIDs."""

PLAIN = re.compile(r"/[A-Za-z0-9/._+-]*")
"""Paths that need no quoting in the JSON and the URLs in which engines are told of them."""

PREFIX = "mixfleet-engine-"
RUNTIME_VARIABLE = "XDG_RUNTIME_DIR"
FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


class NoSocketFolder(OSError):
    """No folder can hold an engine's sockets. The message is for the person who runs the fleet."""


@contextmanager
def socket_folder(private: str) -> Iterator[str]:
    """`private` itself, which no other user may enter, where its path is short and plain; else a new folder like it,
    which goes at the block's end. Raises NoSocketFolder."""
    with ExitStack() as stack:
        yield private if _fits(private) else stack.enter_context(_elsewhere())


def _fits(folder: str) -> bool:
    return len(os.fsencode(folder)) + NAME_BYTES <= ADDRESS_BYTES and PLAIN.fullmatch(folder) is not None


def _elsewhere() -> tempfile.TemporaryDirectory[str]:
    for parent in (os.environ.get(RUNTIME_VARIABLE, ""), *FOLDERS):
        if not parent or not _fits(f"{parent}/{PREFIX}12345678"):
            continue
        try:
            return tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent, ignore_cleanup_errors=True)
        except OSError:
            continue
    raise NoSocketFolder(
        f"no folder for an engine's sockets: the path of the temporary folder is long or has other characters than "
        f"letters, digits and ._+-, and none can be made in {', '.join(FOLDERS)}; set {RUNTIME_VARIABLE} to a folder "
        f"that you may write, with a path of at most {ADDRESS_BYTES - NAME_BYTES - len(PREFIX) - 9} bytes"
    )
