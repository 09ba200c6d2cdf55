"""`python -m tests.support.duty_cycle GROUP ON_S OFF_S`: stops and continues a process group in turn, as if its machine
were slower, until standard input ends or the group is gone. A process of its own, so that its clock is nobody else's.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import suppress


def main(group: int, on_s: float, off_s: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the owner decides, by the pipe
    try:
        while not _owner_left_within(on_s):
            os.killpg(group, signal.SIGSTOP)
            if _owner_left_within(off_s):
                return
            os.killpg(group, signal.SIGCONT)
    except ProcessLookupError:
        return
    finally:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGCONT)


def _owner_left_within(seconds: float) -> bool:
    readable, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(readable)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
