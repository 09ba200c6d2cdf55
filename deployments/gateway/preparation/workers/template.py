"""What preparation workers are forked from: `python -m deployments.gateway.preparation.workers.template FD`.

It imports what jobs need once, so that a worker starts within milliseconds and shares that memory. It has one thread,
because a fork keeps only the thread that forks. FD is a SOCK_SEQPACKET socket; the process ends when it is closed.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import sys

import msgspec

from deployments.gateway.preparation.bodies.json_body import Source
from deployments.gateway.preparation.workers.jobs import load
from deployments.gateway.preparation.workers.worker import serve

PR_SET_PDEATHSIG = 1
MESSAGE_BYTES = 4096


class Fork(msgspec.Struct, tag=True):
    """Starts a worker that serves the socket which comes with the message. The answer is its process id."""


class End(msgspec.Struct, tag=True):
    """Kills a worker, if it still runs. The answer is its wait status. Its id is not reused before that."""

    pid: int


class Load(msgspec.Struct, tag=True):
    """Loads a renderer for the workers that are forked afterwards. The answer is why it failed, '' where it did not."""

    source: Source


Command = Fork | End | Load


def main(control: socket.socket) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the gateway decides
    while True:
        message, files, _, _ = socket.recv_fds(control, MESSAGE_BYTES, 1)
        if not message:
            return
        answer: int | str
        match msgspec.json.decode(message, type=Command):
            case Load(source):
                answer = load(source)
            case Fork():
                answer = _fork(control, socket.socket(fileno=files[0]))
            case End(pid):
                os.kill(pid, signal.SIGKILL)
                _, answer = os.waitpid(pid, 0)
        control.send(msgspec.json.encode(answer))


def _fork(control: socket.socket, channel: socket.socket) -> int:
    template = os.getpid()
    gc.freeze()  # a collection in the worker would copy the memory that it shares with the template
    pid = os.fork()
    if pid:
        channel.close()
        return pid
    status = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == template:  # else it ended before the line above
            control.close()
            serve(channel)
        status = 0
    finally:
        os._exit(status)  # never into the template's own loop


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
