#!/usr/bin/env python3
"""Runs `make demo` and `make test` on fresh clones of this checkout, in several places and as several users.

Usage: scripts/fresh_check.py [--only demo|test] [CASE ...]. It needs git, make and Python 3.11 or newer.
Every case clones the commit that is HEAD at the start, has an empty home and empty caches, and is removed afterwards.
As root, cases of an ordinary user run as a user that is made for them and removed; otherwise as the current one, and
cases of root are skipped. The exit status is 1 where a command fails or leaves a process behind.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
MARK = "MIXFLEET_FRESH_CHECK"
"""Variable that a case's processes carry, so that those it leaves behind are found."""

TIME_LIMITS_S = {"demo": 1800, "test": 5400}
SETTLE_S = 10
"""Time for the last processes of a case to end after its commands did."""

MOST_LOG_BYTES = 20 * 2**20

SHARED_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INHERITED = (
    "LANG",
    "SSL_",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_",
    "UV_",
    "http",
    "HTTP",
    "no_proxy",
    "NO_PROXY",
)
"""Beginnings of the names of variables that a case gets from here: language, certificates, indexes and proxies."""

PIP_FILES = (".config/pip/pip.conf", ".pip/pip.conf")

WITHOUT_NAMESPACES = """
import ctypes, os, pathlib, sys
user, group = os.getuid(), os.getgid()
if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):
    print("this machine offers no user namespaces anyway", file=sys.stderr)
else:
    pathlib.Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    pathlib.Path("/proc/self/setgroups").write_text("deny")
    pathlib.Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    pathlib.Path("/proc/sys/user/max_user_namespaces").write_text("0")
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Runs a command in a user namespace in which the kernel refuses further ones. The machine's own limit stays."""


@dataclass(frozen=True)
class Case:
    """One place and one user.

    Attributes:
        place: where the clone is: "tmp", "home", "opt", or "letters" (a name with a space and a letter outside ASCII).
        root: whether the commands run as root.
        environment: variables that are set for the commands.
        command: put before each command.
        beside: whether a second `make test` runs beside, in another clone.
    """

    place: str
    root: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    beside: bool = False


SILENT_PROXY = "http://127.0.0.1:{port}"
UNREACHABLE_RAY = "192.0.2.1:1"
NAMESPACES_REFUSED = ("python3", "-c", WITHOUT_NAMESPACES)
CASES = {
    "tmp": Case("tmp"),
    "home": Case(
        "home",
        environment={
            "http_proxy": SILENT_PROXY,
            "no_proxy": "localhost,127.0.0.1",
            "RAY_ADDRESS": UNREACHABLE_RAY,
        },
    ),
    "letters": Case("letters", command=NAMESPACES_REFUSED),
    "opt-root": Case("opt", root=True),
    "tmp-root": Case("tmp", root=True, command=NAMESPACES_REFUSED),
    "beside": Case("home", beside=True),
}
"""Each place, user and other condition is in at least one case. A whole case takes about a quarter of an hour."""


@dataclass(frozen=True)
class User:
    """Whose processes a case's are, and the home that is empty before it."""

    name: str
    uid: int
    gid: int
    home: Path
    own: bool
    """Whether the user was made for the case, so that all that it owns is the case's."""


@dataclass
class Outcome:
    """What came of a case: seconds by target, what failed, and what was left."""

    user: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    processes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    skipped: str = ""

    @property
    def verdict(self) -> str:
        return f"skipped: {self.skipped}" if self.skipped else ", ".join(self.failures) or "ok"


@contextlib.contextmanager
def case_user(root: bool) -> Iterator[User]:
    """Root or the current user with a temporary home; or, for root, an ordinary user that exists for the case."""
    if root or os.geteuid() != 0:
        with tempfile.TemporaryDirectory(prefix="fresh-check-home-", ignore_cleanup_errors=True) as home:
            entry = pwd.getpwuid(os.geteuid())
            yield User(entry.pw_name, entry.pw_uid, entry.pw_gid, Path(home), own=False)
        return
    name = f"fresh{os.getpid()}"
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/bash", name], check=True)
    entry = pwd.getpwnam(name)
    try:
        yield User(name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir), own=True)
    finally:
        remove_user(User(entry.pw_name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir), own=True))


def remove_user(user: User) -> None:
    """Removes a user that was made for a case, with its home: not possible before its last process has ended."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        for pid in remaining_processes(user, mark=""):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        removed = subprocess.run(["userdel", "--remove", user.name], check=False, capture_output=True, text=True)
        if removed.returncode == 0:
            return
        if time.monotonic() > deadline:
            print(f"the user {user.name} could not be removed: {removed.stderr.strip()}", file=sys.stderr)
            return
        time.sleep(0.5)


@contextlib.contextmanager
def case_folder(place: str, user: User) -> Iterator[Path]:
    """An empty folder of the user's in the case's place."""
    above = {"home": user.home, "opt": Path("/opt")}.get(place, Path(tempfile.gettempdir()))
    prefix = "fresh check Prüfung " if place == "letters" else "fresh-check-"
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=above))
    try:
        os.chown(folder, user.uid, user.gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def silent_proxy() -> Iterator[int]:
    """The port of a listener on loopback that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def clone(commit: str, folder: Path, user: User) -> None:
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(PROJECT), str(folder)], check=True)
    subprocess.run(["git", "-C", str(folder), "checkout", "--quiet", commit], check=True)
    give(folder, user)


def give(folder: Path, user: User) -> None:
    """Makes a folder and all in it the user's."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.uid, user.gid, follow_symlinks=False)


def copy_pip_configuration(user: User) -> None:
    for name in PIP_FILES:
        source = Path.home() / name
        if source.is_file():
            target = user.home / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            give(user.home / Path(name).parts[0], user)


def environment(case: Case, user: User, mark: str, proxy_port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(INHERITED)}
    if not user.own:
        kept |= {name: os.environ[name] for name in ("PATH", "PYENV_ROOT") if name in os.environ}
    extra = {name: value.format(port=proxy_port) for name, value in case.environment.items()}
    fixed = {"HOME": str(user.home), "USER": user.name, "LOGNAME": user.name, MARK: mark}
    return {"PATH": SYSTEM_PATH, **kept, **fixed, **extra}


def start(
    target: str, folder: Path, case: Case, user: User, variables: dict[str, str], log: Path
) -> subprocess.Popen[bytes]:
    identity: dict[str, Any] = {"user": user.uid, "group": user.gid, "extra_groups": []} if user.own else {}
    with log.open("wb") as output:
        return subprocess.Popen(
            [*case.command, "make", target],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **identity,
        )


def finish(running: subprocess.Popen[bytes], target: str, deadline: float) -> str:
    """Waits for a command; what is wrong with its end, or nothing."""
    try:
        code = running.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return f"make {target} not done in {TIME_LIMITS_S[target]} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()
    return f"make {target} ended with {code}" if code else ""


def remaining_processes(user: User, mark: str) -> dict[int, str]:
    """Command lines by process id, of what carries the case's mark or belongs to the case's own user."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                owned = user.own and entry.stat().st_uid == user.uid
                if owned or f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                    if command:
                        found[int(entry.name)] = command
    return found


def files_of(user: User) -> set[str]:
    """What the user owns in the folders that users share, and in its home outside .cache; topmost paths only."""
    found = set()
    for folder in (*map(Path, SHARED_FOLDERS), user.home):
        with contextlib.suppress(OSError):
            for entry in folder.iterdir():
                with contextlib.suppress(OSError):
                    if entry.lstat().st_uid == user.uid and entry != user.home:
                        found.add(str(entry))
    return found - {str(user.home / ".cache")}


def run(name: str, case: Case, commit: str, targets: list[str], logs: Path) -> Outcome:
    outcome = Outcome()
    if case.root and os.geteuid() != 0:
        outcome.skipped = "needs root"
        return outcome
    if case.place == "opt" and not os.access("/opt", os.W_OK):
        outcome.skipped = "/opt cannot be written to"
        return outcome
    mark = f"{name}-{os.getpid()}"
    with case_user(case.root) as user, case_folder(case.place, user) as folder, silent_proxy() as port:
        outcome.user = user.name
        variables = environment(case, user, mark, port)
        copy_pip_configuration(user)
        checkouts = [folder / "mixfleet", *([folder / "beside"] if case.beside else [])]
        for checkout in checkouts:
            clone(commit, checkout, user)
        before = files_of(user)
        try:
            for target in targets:
                started = time.monotonic()
                used = checkouts if target == "test" else checkouts[:1]
                running = [
                    start(target, checkout, case, user, variables, logs / f"{name}-{target}-{checkout.name}.log")
                    for checkout in used
                ]
                try:
                    ends = [finish(each, target, started + TIME_LIMITS_S[target]) for each in running]
                finally:
                    stop(running)
                outcome.failures += filter(None, ends)
                outcome.seconds[target] = time.monotonic() - started
        finally:
            deadline = time.monotonic() + SETTLE_S
            while (left := remaining_processes(user, mark)) and time.monotonic() < deadline:
                time.sleep(0.5)
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        outcome.processes = sorted(left.values())
        outcome.files = sorted(files_of(user) - before)
        if left:
            outcome.failures.append(f"{len(left)} processes left")
        if outcome.failures:
            keep_logs(outcome.files, logs / name)
        if user.own:
            for path in outcome.files:
                remove(Path(path))
    return outcome


def keep_logs(left: list[str], target: Path) -> None:
    """Copies the logs below these paths, which failed tests leave behind: of fleets and their engines."""
    for path in map(Path, left):
        for log in path.rglob("*.log") if path.is_dir() else ():
            with contextlib.suppress(OSError):
                if log.is_file() and not log.is_symlink() and log.stat().st_size < MOST_LOG_BYTES:
                    copy = target / log.relative_to(path.parent)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(log, copy)


def stop(running: list[subprocess.Popen[bytes]]) -> None:
    """Ends what still runs, where an earlier one was interrupted."""
    for each in running:
        if each.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(each.pid, signal.SIGKILL)
            each.wait()


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def table(outcomes: Mapping[str, Outcome]) -> str:
    rows: list[tuple[str, ...]] = [("case", "user", "demo s", "test s", "result")]
    for name, outcome in outcomes.items():
        seconds = [f"{outcome.seconds[t]:.0f}" if t in outcome.seconds else "-" for t in TIME_LIMITS_S]
        rows.append((name, outcome.user or "-", *seconds, outcome.verdict))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for name, outcome in outcomes.items():
        lines += [f"{name}: left process: {command[:150]}" for command in outcome.processes]
        lines += [f"{name}: left file: {path}" for path in outcome.files]
    return "\n".join(lines)


def end(*_: object) -> None:
    """Ends the check at SIGTERM; what cleans up after that is not interrupted by another one."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=tuple(TIME_LIMITS_S), help="run only `make demo`, or only `make test`")
    parser.add_argument("case", nargs="*", help=f"(all): {', '.join(CASES)}")
    chosen = parser.parse_args()
    if unknown := set(chosen.case) - set(CASES):
        parser.error(f"unknown case {', '.join(sorted(unknown))}: name some of {', '.join(CASES)}")
    signal.signal(signal.SIGTERM, end)
    targets = [chosen.only] if chosen.only else list(TIME_LIMITS_S)
    logs = PROJECT / "build" / time.strftime("fresh-check-%Y%m%d-%H%M%S")
    logs.mkdir(parents=True)
    commit = subprocess.check_output(["git", "-C", str(PROJECT), "rev-parse", "HEAD"], text=True).strip()
    print(f"commit: {commit}\nlogs: {logs}", flush=True)
    outcomes: dict[str, Outcome] = {}
    for name in chosen.case or CASES:
        print(f"{name}: make {' and make '.join(targets)}", flush=True)
        outcomes[name] = run(name, CASES[name], commit, targets, logs)
        print(f"{name}: {outcomes[name].verdict}", flush=True)
    print(table(outcomes))
    return int(any(outcome.failures for outcome in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
