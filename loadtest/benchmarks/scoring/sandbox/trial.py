"""A program that tries to break out. Its text is run in a jail before any other: none of its attempts may succeed."""

import ctypes
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

CLONE_NEWUSER = 0x10000000
PTRACE_TRACEME = 0


def trial(memory_bytes: int, file_bytes: int) -> list[str]:
    """Names of the attempts that succeeded, and of what an honest program needs and cannot do."""
    libc = ctypes.CDLL(None, use_errno=True)
    attempts: dict[str, Callable[[], object]] = {
        "start a process": _fork,
        "open an internet socket": lambda: socket.socket(socket.AF_INET),
        "open a local socket": lambda: socket.socket(socket.AF_UNIX),
        "open a pair of sockets": socket.socketpair,
        "read /etc/passwd": lambda: Path("/etc/passwd").read_bytes(),
        "see processes": lambda: next(Path("/proc").iterdir()),
        "write outside of the scratch folder": lambda: Path("/outside").write_text(""),
        "write to the standard library": lambda: Path(os.__file__).with_name("outside").write_text(""),
        "be root": lambda: os.setuid(0),
        "see its parent": lambda: _require(os.getppid() != 0),
        "trace processes": lambda: _require(libc.ptrace(PTRACE_TRACEME, 0, None, None) == 0),
        "take namespaces": lambda: _require(libc.unshare(CLONE_NEWUSER) == 0),
        "take more memory": lambda: bytearray(memory_bytes),
        "write a larger file": lambda: _write(file_bytes + 1),
    }
    needs: dict[str, Callable[[], object]] = {
        "start no thread": lambda: threading.Thread(target=int).start(),
        "write no scratch file": lambda: _write(1),
    }
    done = [name for name, attempt in attempts.items() if _succeeds(attempt)]
    return done + [name for name, need in needs.items() if not _succeeds(need)]


def _succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (OSError, MemoryError, RuntimeError, StopIteration):
        return False
    return True


def _require(condition: bool) -> None:
    if not condition:
        raise OSError


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _write(size: int) -> None:
    scratch = Path("trial")
    try:
        with scratch.open("wb", buffering=0) as file:
            _require(file.write(bytes(size)) == size)
    finally:
        scratch.unlink()
