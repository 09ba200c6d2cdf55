"""CPU time of another process, finely."""

from __future__ import annotations

import time

_OF_ALL_THREADS = 2
"""The kernel's number of the clock that counts what the scheduler gave to a process."""


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process and all its threads, by the nanosecond: /proc counts in ticks of 10 ms.

    Linux makes clock ids of processes so (clock_getcpuclockid). Raises OSError where the process is gone.
    """
    return time.clock_gettime(~pid << 3 | _OF_ALL_THREADS)
