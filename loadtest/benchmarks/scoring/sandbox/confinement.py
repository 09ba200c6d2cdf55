"""Locks this process in: namespaces of its own, a root of few read-only folders, limits, no privileges, few calls.

Works the same for root and for an ordinary user. Where anything is missing it raises, so that nothing runs half locked.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from loadtest.benchmarks.scoring.sandbox import kernel, syscalls

INMATE = 1000
"""User and group inside."""

NOBODY = 65534
"""What the inmate is to this machine where root starts it; else it is who starts it."""

SCRATCH = "/scratch"
SCRATCH_SIZE = "16m"
MOST_INODES = "1k"
MOST_FILES_HELD = 64


@dataclass(frozen=True)
class Limits:
    """Of one program. A test that exceeds any of them has failed.

    Attributes:
        step_s: wall-clock seconds for loading the program, and for each test.
        memory_bytes: address space.
        file_bytes: size of a file.
        threads, open_files: as many at a time.
    """

    step_s: float = 60.0
    memory_bytes: int = 4 * 2**30
    stack_bytes: int = 8 * 2**20
    file_bytes: int = 16 * 2**20
    threads: int = 64
    open_files: int = 64

    def cpu_s(self, tests: int) -> int:
        """CPU seconds for loading and so many tests together, of all threads."""
        return int((self.step_s + 1) * (tests + 1)) + 5


def lock_in(mountpoint: str, readable: Sequence[str], limits: Limits, tests: int) -> None:
    """Returns in another process, the only one of its namespaces, that dies with this one. Raises OSError.

    `mountpoint`: an empty folder. `readable`: folders that stay visible, none within another. `tests`: how many there
    will be.
    """
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    Path("/proc/self/oom_score_adj").write_text("1000")  # the first to go where memory runs out
    _take_namespaces()
    if inmate := os.fork():
        _keep(inmate)
    _build_root(mountpoint, readable)
    kernel.forgo_capabilities()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(INMATE, INMATE, INMATE)
        os.setresuid(INMATE, INMATE, INMATE)
    kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # no crash of a program is handed to this machine's crash reporter
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of user forgets it
    _limit(limits, tests)
    syscalls.refuse_dangerous_calls()


def _take_namespaces() -> None:
    unshared, told = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.close(told)
        _help(unshared)
    os.close(unshared)
    try:
        kernel.unshare(kernel.NEW_NAMESPACES)
        os.write(told, b".")
    finally:
        os.close(told)
        _, status = os.waitpid(helper, 0)
    if status:
        raise OSError("cannot map users into a new user namespace")


def _help(unshared: int) -> NoReturn:
    code = 1
    try:
        if os.read(unshared, 1):
            _map_users(os.getppid())
        code = 0
    except OSError as error:
        print(error, file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def _map_users(process: int) -> None:
    """Done from the outer namespace, as only there root may name users. Root is kept until the new root is built."""
    folder, root = Path("/proc") / str(process), os.geteuid() == 0
    if not root:
        (folder / "setgroups").write_text("deny")
    for name, own in (("gid_map", os.getegid()), ("uid_map", os.geteuid())):
        (folder / name).write_text(f"0 0 1\n{INMATE} {NOBODY} 1\n" if root else f"{INMATE} {own} 1\n")


def _keep(inmate: int) -> NoReturn:
    """What is left of the first process: it holds nothing and ends with its inmate."""
    os.closerange(0, MOST_FILES_HELD)
    os.waitpid(inmate, 0)
    os._exit(0)


def _build_root(mountpoint: str, readable: Sequence[str]) -> None:
    kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    bare = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("", mountpoint, "tmpfs", bare, f"size=1m,nr_inodes={MOST_INODES},mode=755")
    for path in readable:
        inside = Path(mountpoint + path)
        inside.parent.mkdir(parents=True, exist_ok=True)
        if Path(path).is_symlink():
            inside.symlink_to(Path(path).readlink())
        else:
            inside.mkdir()
            kernel.mount(path, str(inside), "", kernel.MS_BIND | kernel.MS_REC)
    scratch = mountpoint + SCRATCH
    Path(scratch).mkdir(exist_ok=True)
    kernel.make_read_only(mountpoint)
    options = f"size={SCRATCH_SIZE},nr_inodes={MOST_INODES},mode=777"
    kernel.mount("", scratch, "tmpfs", bare | kernel.MS_NOEXEC, options)
    kernel.enter_root(mountpoint)
    os.chdir(SCRATCH)


def _limit(limits: Limits, tests: int) -> None:
    for what, most in (
        (resource.RLIMIT_CPU, limits.cpu_s(tests)),
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_STACK, limits.stack_bytes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NPROC, limits.threads),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        hardest = resource.getrlimit(what)[1]
        lower = most if hardest == resource.RLIM_INFINITY else min(most, hardest)
        resource.setrlimit(what, (lower, lower))
