"""One preparation worker: it runs one job at a time, at a low priority, within limits of CPU time and memory."""

from __future__ import annotations

import os
import resource
import signal
import socket
from pathlib import Path
from typing import Any

import msgspec

from deployments.gateway.preparation.workers.jobs import JOBS

NICENESS = 10
MEMORY_BYTES = 2**30
"""Private memory that a worker may have beside what it starts with."""

MESSAGE_BYTES = 2**16
"""The longest message, with a job's arguments or its result. What is longer travels in files."""

MOST_FILES = 4


class JobRequest(msgspec.Struct):
    """Attributes:
    job: a name of `jobs.JOBS`. Its open files come as file descriptors with the message.
    cpu_s: seconds of CPU after which the kernel kills the worker, wherever it is.
    """

    job: str
    cpu_s: float
    arguments: Any = None


class JobResult(msgspec.Struct):
    """Attributes:
    value: what the job returned.
    error: the job's exception in one line; '' where there was none.
    """

    value: Any = None
    error: str = ""


def serve(channel: socket.socket) -> None:
    """Runs jobs until the other end closes. `channel` is a SOCK_SEQPACKET socket."""
    os.nice(NICENESS)
    most = _data_bytes() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    while True:
        message, files, _, _ = socket.recv_fds(channel, MESSAGE_BYTES, MOST_FILES)
        if not message:
            return
        request = msgspec.json.decode(message, type=JobRequest)
        signal.setitimer(signal.ITIMER_PROF, request.cpu_s)
        try:
            result = JobResult(JOBS[request.job](files, request.arguments))
        except Exception as error:  # a parser of hostile bytes may raise anything
            result = JobResult(error=f"{type(error).__name__}: {error}"[:500])
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            for file in files:
                os.close(file)
        channel.send(msgspec.json.encode(result))


def _data_bytes() -> int:
    """Private writable memory of this process, as RLIMIT_DATA counts it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))
