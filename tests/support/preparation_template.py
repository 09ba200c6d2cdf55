"""The template of preparation workers with jobs that do what a parser of hostile bytes might do."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

from deployments.gateway.preparation.workers import template
from deployments.gateway.preparation.workers.jobs import JOBS

GIBIBYTE = 2**30


def _raise(files: Sequence[int], _: Any) -> None:
    raise ValueError("it is broken")


def _big_power(files: Sequence[int], _: Any) -> int:
    """A second or more within one call of C code that does not look for signals."""
    return len(str(3 ** (7**9)))


JOBS |= {
    "pid": lambda files, _: os.getpid(),
    "length": lambda files, _: len(os.pread(files[0], 100, 0)),
    "raise": _raise,
    "crash": lambda files, _: os.abort(),
    "hang": lambda files, _: time.sleep(3600),
    "nap": lambda files, _: time.sleep(0.05),
    "big_power": _big_power,
    "eat": lambda files, _: len(bytes(2 * GIBIBYTE)),
}

if __name__ == "__main__":
    template.main(socket.socket(fileno=int(sys.argv[1])))
