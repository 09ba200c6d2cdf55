from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deployments.engine.guard import SOCKETS
from deployments.engine.process import PROJECT_ROOT
from tests.support.process_table import alive, gone
from tests.unit.deployments.engine.test_socket_folder import long_folder

PARENT = """
import signal, subprocess, sys, time
if "stubborn" in sys.argv: signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
if "leaves" in sys.argv: sys.exit(5)
time.sleep(600)
"""
OWNER = """
import subprocess, sys, time
guard = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
print(guard.pid, flush=True)
time.sleep(600)
"""


def guarded(*behaviour: str, grace_s: float = 5) -> list[str]:
    command = [sys.executable, "-S", "-c", PARENT, *behaviour]
    return [sys.executable, "-m", "deployments.engine.guard", "--grace", str(grace_s), "--", *command]


@contextmanager
def running(command: list[str], numbers: int) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """The process, and as many process ids as it and its children print."""
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT_ROOT)
    try:
        assert started.stdout is not None
        yield started, [int(started.stdout.readline()) for _ in range(numbers)]
    finally:
        started.kill()
        started.communicate()


def leader_of(pid: int) -> int:
    return os.getpgid(pid)


def close(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None


def test_the_end_of_the_pipe_ends_the_command_and_its_children() -> None:
    with running(guarded(), 1) as (guard, [child]):
        leader = leader_of(child)
        assert leader != guard.pid, "a group of its own"
        close(guard)
        assert guard.wait(5) == 128 + signal.SIGTERM
        assert gone([child, leader], 2)


def test_the_commands_temporary_files_are_its_own_and_end_with_it(tmp_path: Path) -> None:
    writes = "import os, tempfile; print(tempfile.mkstemp()[1], flush=True); print(os.environ['TMPDIR'])"
    command = [sys.executable, "-m", "deployments.engine.guard", "--", sys.executable, "-S", "-c", writes]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT_ROOT, env=environment
    ) as guard:
        assert guard.stdout is not None
        file, folder = (Path(guard.stdout.readline().decode().strip()) for _ in range(2))
        assert guard.wait(20) == 0
    assert file.parent == folder
    assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_sigterm_to_the_guard_does_the_same() -> None:
    with running(guarded(), 1) as (guard, [child]):
        guard.terminate()
        assert guard.wait(5) == 128 + signal.SIGTERM
        assert gone([child], 2)


def test_a_command_that_ignores_sigterm_is_killed_after_the_grace() -> None:
    with running(guarded("stubborn", grace_s=0.5), 1) as (guard, [child]):
        started = time.monotonic()
        close(guard)
        assert guard.wait(5) == 128 + signal.SIGKILL
        assert 0.4 < time.monotonic() - started < 3
        assert gone([child], 2)


def test_the_guard_ends_with_its_command_and_takes_the_orphans_along() -> None:
    with running(guarded("leaves"), 1) as (guard, [child]):
        started = time.monotonic()
        assert guard.wait(5) == 5
        assert gone([child], 2)
        assert time.monotonic() - started < 1, "whether or not process 1 reaps what has ended"


def test_a_killed_owner_takes_everything_with_it() -> None:
    with running([sys.executable, "-S", "-c", OWNER, *guarded()], 2) as (owner, pids):
        everyone = [*pids, leader_of(max(pids))]
        assert all(map(alive, everyone))
        owner.kill()
        assert gone(everyone, 5)


def test_a_killed_guard_takes_its_command_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody is left who could remove the command's temporary folder, nor one for sockets in place of a longer one.
    with tempfile.TemporaryDirectory() as temporary:
        monkeypatch.setenv("TMPDIR", temporary)
        with running(guarded(), 1) as (guard, [child]):
            leader = leader_of(child)
            guard.kill()
            assert gone([leader], 3)
            os.kill(child, signal.SIGKILL)  # nobody is left who could: only the command itself hears of it


def test_folder_for_sockets_is_filled_in_and_short_where_the_temporary_folder_is_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(long_folder(tmp_path)))
    monkeypatch.setenv("OWN_SOCKETS", f"{SOCKETS}/s")
    code = "import os, sys; print(os.environ['TMPDIR'], os.environ['OWN_SOCKETS'], *sys.argv[1:], sep='|')"
    command = [sys.executable, "-S", "-c", code, f"ipc://{SOCKETS}/e"]
    guard = [sys.executable, "-m", "deployments.engine.guard", "--", *command]
    with subprocess.Popen(guard, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT_ROOT) as started:
        assert started.stdout is not None
        temporary, own, argument = started.stdout.read().decode().strip().split("|")
        assert started.wait(10) == 0
    assert Path(temporary).is_relative_to(tmp_path)
    assert Path(own).parent == Path(argument.removeprefix("ipc://")).parent
    assert len(own) < 60
    assert not Path(own).parent.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signals_of_the_terminal_are_the_owners_to_pass_on(number: signal.Signals) -> None:
    with running(guarded(), 1) as (guard, [child]):
        guard.send_signal(number)
        time.sleep(0.2)
        assert guard.poll() is None
        assert alive(child)
        close(guard)
        guard.wait(5)
