"""Starts programs in jails, and refuses to where a jail does not hold."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Self

from loadtest.benchmarks.scoring.sandbox import frames, trial
from loadtest.benchmarks.scoring.sandbox import jail as entry
from loadtest.benchmarks.scoring.sandbox.channel import Channel, Ended, TooLate, TooMuch
from loadtest.benchmarks.scoring.sandbox.confinement import SCRATCH, Limits

BOOT = f"import sys; sys.path.insert(0, sys.argv[1]); from {entry.__name__} import main; main(sys.argv[2])"
ENVIRONMENT = {
    "HOME": SCRATCH,
    "TMPDIR": SCRATCH,
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
SYSTEM_LIBRARIES = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64")
PACKAGES = ("numpy",)
"""That programs may import beside the standard library."""

SET_UP_S = 60.0
SMALL = 2**16

ERROR, TIME_LIMIT, TOO_MUCH, ENDED = "error", "time limit", "too much output", "ended early"

ADVICE = (
    "programs of the model are run only where a sandbox can be set up: Linux 5.12 or newer on x86_64 or aarch64 with "
    "user namespaces. Where they are switched off: sysctl user.max_user_namespaces above 0, "
    "kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0; in Docker: "
    "--security-opt seccomp=unconfined --security-opt apparmor=unconfined"
)


class SandboxError(RuntimeError):
    """Programs cannot be run here, and why."""


class ProgramFailed(Exception):
    """A program that did not come to an answer. `outcome`: one of the words below; the message may say more."""

    def __init__(self, outcome: str, reason: str = "") -> None:
        super().__init__(f"{outcome}: {reason}" if reason else outcome)
        self.outcome = outcome


class Jail:
    """One program, ready for its tests."""

    def __init__(self, channel: Channel, limits: Limits) -> None:
        self._channel, self._limits = channel, limits

    def load(self, code: str, function: str | None) -> None:
        """Raises ProgramFailed."""
        asked = json.dumps({"code": code, "function": function}).encode()
        self._ask(frames.PROGRAM, asked, SMALL)

    def run(self, text: str, most_bytes: int) -> str:
        """What the program prints for this input, or the JSON of what it returns. Raises ProgramFailed."""
        return self._ask(frames.TEST, text.encode(), most_bytes).decode("utf-8", "replace")

    def _ask(self, kind: bytes, payload: bytes, most_bytes: int) -> bytes:
        try:
            answer, content = self._channel.ask(kind, payload, self._limits.step_s, max(most_bytes, SMALL))
        except TooLate:
            raise ProgramFailed(TIME_LIMIT) from None
        except TooMuch:
            raise ProgramFailed(TOO_MUCH) from None
        except Ended:
            raise ProgramFailed(ENDED) from None
        if answer == frames.FAILED:
            raise ProgramFailed(ERROR, content.decode("utf-8", "replace"))
        return content


class Sandbox:
    """A place for jails. `stop` calls all of them off."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.stop = threading.Event()
        self._stack = contextlib.ExitStack()
        self._mountpoint = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="jail-"))

    def __enter__(self) -> Self:
        """Raises SandboxError where no jail can be set up here, or where one does not hold."""
        try:
            self._prove()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _prove(self) -> None:
        limits = self.limits
        try:
            with self.jail() as tried:
                tried.load(Path(trial.__file__).read_text(encoding="utf-8"), trial.trial.__name__)
                done = json.loads(tried.run(f"{limits.memory_bytes}\n{limits.file_bytes}", SMALL))
        except ProgramFailed as failure:
            raise SandboxError(f"a trial program failed in the sandbox: {failure}; {ADVICE}") from None
        if done:
            raise SandboxError(f"the sandbox does not hold: a program in it can {', '.join(done)}; {ADVICE}")

    @contextlib.contextmanager
    def jail(self, tests: int = 1) -> Iterator[Jail]:
        """A fresh jail for a program with so many tests; everything in it is gone afterwards.

        Raises SandboxError, CalledOff.
        """
        options = {
            "mountpoint": self._mountpoint,
            "readable": readable_folders(),
            "limits": asdict(self.limits),
            "tests": tests,
        }
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-c", BOOT, str(_project()), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            channel = Channel(process.stdin.fileno(), process.stdout.fileno(), self.stop)
            try:
                channel.next(SET_UP_S, SMALL)
            except TooLate:
                raise SandboxError(f"the sandbox was not set up in {SET_UP_S:g} s; {ADVICE}") from None
            except (Ended, TooMuch):
                process.kill()
                said = process.stderr.read(SMALL).decode("utf-8", "replace").strip()
                raise SandboxError(f"{said.splitlines()[-1] if said else 'no sandbox'}; {ADVICE}") from None
            yield Jail(channel, self.limits)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            for pipe in (process.stdin, process.stdout, process.stderr):
                pipe.close()
            process.wait()


@cache
def readable_folders() -> tuple[str, ...]:
    """What a program may read: shared libraries, the standard library, numpy. None lies within another."""
    wanted = {*SYSTEM_LIBRARIES, str(Path(os.__file__).parent)}
    wanted |= {str(Path(prefix) / "lib") for prefix in (sys.base_prefix, sys.base_exec_prefix)}
    for name in PACKAGES:
        if (found := importlib.util.find_spec(name)) and found.submodule_search_locations:
            folder = Path(found.submodule_search_locations[0])
            wanted |= {str(folder), str(folder.parent / f"{name}.libs")}
    present = sorted(path for path in wanted if Path(path).is_dir())
    return tuple(path for path in present if not any(Path(path).is_relative_to(o) for o in present if o != path))


def _project() -> Path:
    return Path(__file__).resolve().parents[4]
