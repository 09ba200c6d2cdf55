"""Runs a command and ends its whole process group when the guard's own owner is gone.

`python -m deployments.engine.guard --grace SECONDS -- COMMAND...`: standard input is a pipe that the owner holds open.
Its end (the owner closed it, or was killed: the kernel closes it then) means stop: SIGTERM to the command's group,
SIGKILL after the grace. The guard exits with the command's own code. A process of its own is needed because a killed
owner can run no clean-up, and an engine is several processes of which only the first would notice a dead parent.

The command gets a temporary folder of its own, which goes with it: vLLM leaves files where TMPDIR points. `SOCKETS` in
the command's words and in its environment stands for a folder for sockets. Only its own user may enter either.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import tempfile
import time

from deployments.engine.socket_folder import PREFIX, NoSocketFolder, socket_folder

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.05
SOCKETS = "@SOCKETS@"


def _end_with_guard() -> None:
    """In the child: should the guard itself be killed, the kernel asks the command to stop."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _signal_group(group: int, number: int) -> bool:
    """Sends `number` (0 sends nothing, and only asks) to every process of the group; False where none is left."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def _reap(command: subprocess.Popen[bytes]) -> None:
    """Takes note of those of the group that have ended: unreaped, they would count as alive.

    The guard is the reaper of orphans in its group. The next one above it is process 1, which in many containers never
    reaps. The leader goes first, because its exit code is wanted.
    """
    if command.poll() is None:
        return
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-command.pid, os.WNOHANG)[0]:
            pass


def end_group(command: subprocess.Popen[bytes], grace_s: float) -> None:
    """Ends every process of the command's group: politely, then for good once `grace_s` seconds are over."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        alive = _signal_group(command.pid, number)
        deadline = time.monotonic() + grace_s
        while alive and time.monotonic() < deadline:
            _reap(command)
            alive = _signal_group(command.pid, 0)
            time.sleep(POLL_S)
        if not alive:
            return


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deployments.engine.guard", description=__doc__)
    parser.add_argument("--grace", type=float, default=10.0)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # the owner decides, by the pipe
    owner = sys.stdin.fileno()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        with (
            tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as temporary,
            socket_folder(temporary) as sockets,
        ):
            words = [word.replace(SOCKETS, sockets) for word in words]
            environment = {name: value.replace(SOCKETS, sockets) for name, value in os.environ.items()}
            return _run(words, {**environment, "TMPDIR": temporary}, owner, arguments.grace)
    except NoSocketFolder as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(words: list[str], environment: dict[str, str], owner: int, grace_s: float) -> int:
    """The command's exit code, once it and its whole group have ended."""
    command = subprocess.Popen(
        words,
        env=environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_end_with_guard,
        close_fds=True,
    )
    stop_requested = False

    def stop(*_: object) -> None:
        nonlocal stop_requested
        stop_requested = True

    signal.signal(signal.SIGTERM, stop)
    while command.poll() is None and not stop_requested:
        with contextlib.suppress(InterruptedError):
            readable, _, _ = select.select([owner], [], [], 0.5)
            stop_requested = stop_requested or (bool(readable) and os.read(owner, 1) == b"")
    end_group(command, grace_s)
    code = command.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
