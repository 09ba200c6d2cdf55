"""What the commands of this package have in common."""

from __future__ import annotations

import os
import resource
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from cluster.ray_address import RayAddressError

INTERRUPTED = 130
"""Exit status after SIGINT, as shells have it."""

SPARE_FILES = 128


class Refused(RuntimeError):
    """The test could not be run, and why."""


MEASURED = "what was measured is kept and marked so"


def outcome(command: Callable[[], bool], kept: str = MEASURED) -> int:
    """A command's exit status: 0 where it is true, 1 where not, 2 where it was refused, 130 where interrupted; `kept`
    says what an interruption leaves."""
    try:
        return 0 if command() else 1
    except (Refused, RayAddressError) as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted: {kept}", file=sys.stderr)
        return INTERRUPTED


def leave(code: int) -> NoReturn:
    """Ends the process. LoadGen has no way to stop a test: after one that was cut short its thread waits for answers
    that will not come, and would crash in exit()."""
    if any(thread.name == "loadgen" for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def make_room(sockets: int) -> None:
    """Lets this process open so many. Raises Refused where the machine does not allow it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = sockets + SPARE_FILES
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise Refused(f"this process may open {hard} files; give --max-in-flight {max(1, hard - SPARE_FILES)} or less")
    if soft != resource.RLIM_INFINITY and wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
