"""Programs in a real jail, and what becomes of them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from loadtest.benchmarks.scoring.sandbox.confinement import Limits
from loadtest.benchmarks.scoring.sandbox.sandbox import ProgramFailed, Sandbox
from tests.support.skips import skip

LIMITS = Limits(step_s=10.0, memory_bytes=400 * 2**20, file_bytes=2**20)
SUM = "a, b = map(int, input().split())\nprint(a + b)"
MOST = 10**6


ASK_FOR_NAMESPACES = """
import ctypes, os
libc = ctypes.CDLL(None)
os._exit(libc.unshare(0x10000000 | 0x20000) != 0 or libc.mount(b"", b"/", b"", ctypes.c_ulong(0x44000), None) != 0)
"""


def require_namespaces() -> None:
    """Skips a test where the machine has none to give. Anything else that keeps a sandbox shut is a failure of ours."""
    if subprocess.run([sys.executable, "-c", ASK_FOR_NAMESPACES]).returncode:
        skip("user-namespaces")


def printed(sandbox: Sandbox, program: str, text: str = "") -> str:
    """What a program prints. Raises ProgramFailed."""
    with sandbox.jail() as jail:
        jail.load(textwrap.dedent(program), None)
        return jail.run(text, MOST).strip()


def outcome(sandbox: Sandbox, program: str, text: str = "") -> str:
    """How a program fails."""
    with pytest.raises(ProgramFailed) as failed:
        printed(sandbox, program, text)
    return failed.value.outcome


def refused(sandbox: Sandbox, statement: str, text: str = "") -> str:
    """The error that a statement meets, by its name."""
    program = (
        "import ctypes, mmap, os, pathlib, socket, subprocess, sys\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def must(result):\n    if result == -1: raise OSError(ctypes.get_errno(), 'refused')\n"
        f"try:\n    {statement}\n    print('done')\nexcept BaseException as error:\n    print(type(error).__name__)\n"
    )
    return printed(sandbox, program, text)


def processes(mark: str) -> list[int]:
    """Processes of this machine that were started with that text."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "cmdline").read_text(errors="replace"):
                found.append(int(folder.name))
    return found


def wait_until_gone(mark: str) -> None:
    deadline = time.monotonic() + 10
    while processes(mark):
        assert time.monotonic() < deadline, f"{processes(mark)} are still there"
        time.sleep(0.02)
