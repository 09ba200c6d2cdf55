"""What honest programs find in a jail, and where no jail is opened."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.benchmarks.scoring.sandbox.sandbox import Sandbox, SandboxError
from tests.support.jailed import LIMITS, MOST, SUM, printed, processes, require_namespaces, wait_until_gone
from tests.support.skips import skip


def test_an_honest_program_and_its_tests(sandbox: Sandbox) -> None:
    with sandbox.jail(tests=3) as jail:
        jail.load(SUM, None)
        assert [jail.run(f"{a} 1\n", MOST) for a in (1, 2, 10**30)] == ["2\n", "3\n", f"{10**30 + 1}\n"]
    with sandbox.jail() as jail:
        jail.load("class Solution:\n    def add(self, a: int, b: List[int]):\n        return a + sum(b)", "add")
        assert json.loads(jail.run("1\n[2, 3]", MOST)) == 6


def test_numpy_and_threads_are_there(sandbox: Sandbox) -> None:
    assert printed(sandbox, "import numpy\nprint(int(numpy.arange(5).sum()))") == "10"
    deep = """
        import sys, threading
        threading.stack_size(64 * 2**20)
        def depth(n):
            return n and 1 + depth(n - 1)
        def main():
            print(depth(30000))
        thread = threading.Thread(target=main)
        thread.start()
        thread.join()
    """
    assert printed(sandbox, deep) == "30000"


def test_limits_as_the_program_sees_them(sandbox: Sandbox) -> None:
    program = """
        import importlib, sys
        del sys.modules["resource"]
        resource = importlib.import_module("resource")
        for name in ("CPU", "AS", "STACK", "FSIZE", "NPROC", "NOFILE", "CORE", "MEMLOCK"):
            print(*resource.getrlimit(getattr(resource, f"RLIMIT_{name}")))
    """
    most = (
        LIMITS.cpu_s(1),
        LIMITS.memory_bytes,
        LIMITS.stack_bytes,
        LIMITS.file_bytes,
        LIMITS.threads,
        LIMITS.open_files,
        0,
        0,
    )
    assert printed(sandbox, program).split("\n") == [f"{limit} {limit}" for limit in most]


LOOPING = """
import sys
from loadtest.benchmarks.scoring.sandbox.sandbox import Sandbox
sandbox = Sandbox()
with sandbox.jail() as jail:
    print(sandbox._mountpoint, flush=True)
    jail.load("while True: pass", None)
    jail.run("", 1)
"""


def test_a_killed_owner_leaves_no_program_behind() -> None:
    require_namespaces()
    owner = subprocess.Popen([sys.executable, "-c", LOOPING], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    mark = owner.stdout.readline().strip()
    assert processes(mark)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    wait_until_gone(mark)
    Path(mark).rmdir()


WITHOUT_NAMESPACES = """
import os, sys
from pathlib import Path
from loadtest.benchmarks.scoring.sandbox import kernel
from loadtest.benchmarks.scoring.sandbox.sandbox import Sandbox, SandboxError
uid = os.getuid()
kernel.unshare(0x10000000)
Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
Path("/proc/sys/user/max_user_namespaces").write_text("0")
try:
    with Sandbox():
        print("opened")
except SandboxError as error:
    print(error)
"""


def test_refused_where_there_are_no_user_namespaces() -> None:
    require_namespaces()
    ended = subprocess.run([sys.executable, "-c", WITHOUT_NAMESPACES], capture_output=True, text=True, timeout=60)
    if "max_user_namespaces" in ended.stderr:
        skip("nested-limits")
    assert "opened" not in ended.stdout
    assert "unshare" in ended.stdout
    assert "user.max_user_namespaces above 0" in ended.stdout


def test_refused_where_a_jail_does_not_hold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    require_namespaces()
    leaky = tmp_path / "trial.py"
    leaky.write_text("def trial(memory, file):\n    return ['fly']\n")
    monkeypatch.setattr("loadtest.benchmarks.scoring.sandbox.trial.__file__", str(leaky))
    with pytest.raises(SandboxError, match="a program in it can fly"), Sandbox(LIMITS):
        pass
