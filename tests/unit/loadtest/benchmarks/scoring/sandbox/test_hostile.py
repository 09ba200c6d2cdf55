"""Hostile programs, each in a real jail. What they must not reach is made for them first, so that reaching it shows."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from loadtest.benchmarks.scoring.sandbox.sandbox import (
    ENDED,
    ERROR,
    TIME_LIMIT,
    TOO_MUCH,
    ProgramFailed,
    Sandbox,
    readable_folders,
)
from tests.support.jailed import LIMITS, MOST, SUM, outcome, printed, refused, wait_until_gone


@pytest.fixture(autouse=True, scope="module")
def still_there(sandbox: Sandbox) -> Iterator[None]:
    """Whatever programs did, the next one runs as if nothing had been."""
    yield
    assert printed(sandbox, SUM, "2 3\n") == "5"


@pytest.mark.parametrize(
    "statement",
    [
        "os.fork()",
        "os.posix_spawn(sys.executable, [sys.executable], {})",
        "subprocess.run(['/bin/true'])",
        "os.execv(sys.executable, [sys.executable])",
        "must(libc.vfork())",
        "must(libc.syscall(435, None, 0))",  # clone3
    ],
)
def test_no_processes(sandbox: Sandbox, statement: str) -> None:
    assert refused(sandbox, statement) in ("PermissionError", "OSError", "FileNotFoundError")


def test_a_fork_bomb(hasty: Sandbox) -> None:
    assert outcome(hasty, "import os\nwhile True:\n    os.fork()") == ERROR
    stubborn = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    assert outcome(hasty, stubborn) == TIME_LIMIT


def test_a_bomb_of_threads(sandbox: Sandbox) -> None:
    program = """
        import threading, time
        started = 0
        try:
            for _ in range(10000):
                threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
                started += 1
        except RuntimeError:
            print(started)
    """
    assert 0 < int(printed(sandbox, program)) < LIMITS.threads


@pytest.mark.parametrize("hog", ["bytearray(10**10)", "[0] * 10**9", "b'x' * 2**29", "mmap.mmap(-1, 2**29)"])
def test_a_memory_hog(sandbox: Sandbox, hog: str) -> None:
    assert refused(sandbox, hog) in ("MemoryError", "OSError")


def test_a_slow_memory_hog(sandbox: Sandbox) -> None:
    assert outcome(sandbox, "kept = []\nwhile True:\n    kept.append(bytearray(2**20))") in (ERROR, ENDED)


@pytest.mark.parametrize(
    "program",
    [
        "while True: pass",
        "import time\ntime.sleep(1000)",
        "import signal\n[signal.signal(n, signal.SIG_IGN) for n in range(1, 32) if n not in (9, 19)]\nwhile True: pass",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\ntime.sleep(1000)",
    ],
)
def test_an_endless_program_is_ended_and_leaves_nothing(hasty: Sandbox, program: str) -> None:
    began = time.monotonic()
    assert outcome(hasty, program) == TIME_LIMIT
    assert time.monotonic() - began < hasty.limits.step_s + 5
    wait_until_gone(hasty._mountpoint)


def test_an_endless_import(hasty: Sandbox) -> None:
    with hasty.jail() as jail, pytest.raises(ProgramFailed, match=TIME_LIMIT):
        jail.load("while True: pass\nclass Solution:\n    pass", "f")


def test_nothing_is_written_outside(sandbox: Sandbox) -> None:
    name = f"hostile-{uuid4()}"
    home = Path.home() / name
    refused(sandbox, f"pathlib.Path('{home}').write_text('x')")  # a home in /tmp is only its own
    assert refused(sandbox, f"pathlib.Path('/{name}').write_text('x')") == "OSError"
    assert refused(sandbox, f"pathlib.Path(os.__file__).with_name('{name}').write_text('x')") == "OSError"
    assert refused(sandbox, f"pathlib.Path('/usr/lib/{name}').write_text('x')") == "OSError"
    assert printed(sandbox, f"import pathlib\nprint(pathlib.Path('/scratch/{name}').write_text('x'))") == "1"
    assert not any((folder / name).exists() for folder in map(Path, ("/tmp", "/", "/usr/lib", str(Path.home()))))
    assert printed(sandbox, "import os\nprint(os.listdir('/scratch'))") == "[]"


def test_the_scratch_folder_is_small(sandbox: Sandbox) -> None:
    assert refused(sandbox, "pathlib.Path('big').write_bytes(bytes(2**21))") == "OSError"
    many = "for n in range(100): pathlib.Path(f'{n}').write_bytes(bytes(2**20))"
    assert refused(sandbox, many) == "OSError"
    assert refused(sandbox, "for n in range(10**5): pathlib.Path(f'{n}').touch()") == "OSError"


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/shadow", "/proc/self/environ", "/proc/1/cmdline", "/dev/sda"])
def test_no_files_of_this_machine(sandbox: Sandbox, path: str) -> None:
    assert refused(sandbox, f"pathlib.Path('{path}').read_bytes()") in ("FileNotFoundError", "NotADirectoryError")


def test_no_repository_and_no_home(sandbox: Sandbox, tmp_path: Path) -> None:
    secrets = [folder / f"secret-{uuid4()}" for folder in (tmp_path, Path.home())]
    for secret in secrets:
        secret.write_text("x")
        secret.chmod(0o644)
    for path in (*secrets, Path(__file__)):
        assert refused(sandbox, f"pathlib.Path('{path}').read_bytes()") == "FileNotFoundError"


def test_links_lead_nowhere(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    for target in ("/etc/passwd", "../../../../etc/passwd", str(tmp_path / "secret"), "/proc/self/root/etc/passwd"):
        statement = f"os.symlink('{target}', 'link'); pathlib.Path('link').read_bytes()"
        assert refused(sandbox, statement) == "FileNotFoundError"
    assert refused(sandbox, "os.chdir('/'); os.chroot('/scratch')") == "PermissionError"
    names = json.loads(printed(sandbox, "import json, os\nos.chdir('../../../..')\nprint(json.dumps(os.listdir()))"))
    assert "lib" in names
    assert set(names) == {Path(folder).parts[1] for folder in readable_folders()} | {"scratch"}


def test_the_root_holds_nothing_but_the_ways_to_readable_folders(sandbox: Sandbox) -> None:
    """A checkout may lie anywhere, also below /tmp or a home: of these only the way to its libraries is there."""
    readable = {*readable_folders(), "/scratch"}
    program = f"""
        import json, os
        readable, seen, left = {sorted(readable)!r}, [], ["/"]
        while left:
            folder = left.pop()
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                seen.append(path)
                if path not in readable:
                    left.append(path)
        print(json.dumps(seen))
    """
    ways = {str(way) for folder in readable for way in Path(folder).parents} - {"/"}
    assert set(json.loads(printed(sandbox, program))) == readable | ways


def test_no_environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    names = printed(sandbox, "import os\nprint(sorted(os.environ))")
    assert "API_KEY" not in names
    assert set(json.loads(names.replace("'", '"'))) <= {
        *("HOME", "TMPDIR", "LANG", "LC_CTYPE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    }


def test_no_sockets(sandbox: Sandbox, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        port = server.getsockname()[1]
        local.bind(f"\0hostile-{uuid4()}")
        for statement in (
            f"socket.create_connection(('127.0.0.1', {port}), 1)",
            "socket.create_server(('127.0.0.1', 0))",
            "socket.socket(socket.AF_UNIX)",
            "socket.socketpair()",
            "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
            "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
            "socket.getaddrinfo('localhost', 80)[0] and must(libc.socket(2, 1, 0))",
        ):
            assert refused(sandbox, statement) in ("PermissionError", "gaierror", "OSError"), statement
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()


def test_it_cannot_signal_or_trace_anything(sandbox: Sandbox) -> None:
    own = str(os.getpid())
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        for statement in (
            f"os.kill({victim.pid}, 9)",
            f"os.kill({own}, 9)",
            f"must(libc.ptrace(16, {victim.pid}, None, None))",
            f"must(libc.ptrace(16, {own}, None, None))",
            f"must(libc.process_vm_readv({own}, None, 0, None, 0, 0))",
            f"os.sched_setaffinity({own}, [0])",
        ):
            assert refused(sandbox, statement) in ("PermissionError", "ProcessLookupError", "OSError"), statement
        assert printed(sandbox, "import os\nprint(os.getppid())") == "0"
        # To itself it is the first process of all, which no signal of its own ends; to all others it sends nothing.
        assert outcome(sandbox, "import os\nos.kill(-1, 9)") == ERROR
        assert printed(sandbox, "import os\nos.kill(os.getpid(), 15)\nprint(1)") == "1"
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


@pytest.mark.parametrize(
    "statement",
    [
        "os.setuid(0)",
        "must(libc.unshare(0x10000000))",
        "must(libc.mount(b'none', b'/scratch', b'tmpfs', 0, None))",
        "must(libc.umount2(b'/scratch', 2))",
        "must(libc.prctl(1, 0, 0, 0, 0))",  # PR_SET_PDEATHSIG
        "must(libc.memfd_create(b'x', 0))",
        "must(libc.shmget(1, 4096, 0o1000))",
        "must(libc.syscall(425, 1, None))",  # io_uring_setup
        "os.setpriority(os.PRIO_PROCESS, 0, -5)",
        "sys.modules.pop('resource', None); import resource; resource.setrlimit(resource.RLIMIT_NPROC, (999, 999))",
    ],
)
def test_no_privileges_to_be_had(sandbox: Sandbox, statement: str) -> None:
    assert refused(sandbox, statement) in ("PermissionError", "OSError", "ValueError", "ModuleNotFoundError")


@pytest.mark.parametrize(
    "program", ["print('x' * 10**8)", "while True: print('x' * 10**6)", "import sys\nsys.stdout.write('x' * 10**7)"]
)
def test_huge_output(sandbox: Sandbox, program: str) -> None:
    assert outcome(sandbox, program) in (TOO_MUCH, ERROR)


def test_it_can_only_speak_for_itself(sandbox: Sandbox) -> None:
    junk = """
        import os
        for file in range(3, 64):
            try:
                os.write(file, b"junk" * 999)
            except OSError:
                pass
        print("end")
    """
    with contextlib.suppress(ProgramFailed):
        assert printed(sandbox, junk) != "end"
    closing = "import os\nos.closerange(0, 64)"
    assert outcome(sandbox, closing) == ENDED
    assert outcome(sandbox, "import os\nos._exit(0)") == ENDED
    assert outcome(sandbox, "import ctypes\nctypes.string_at(0)") == ENDED
    rude = "class Rude(Exception):\n    def __str__(self):\n        raise SystemExit\nraise Rude"
    assert outcome(sandbox, rude) == ERROR


def test_input_that_a_program_does_not_read(hasty: Sandbox) -> None:
    with hasty.jail() as jail:
        jail.load("while True: pass", None)
        with pytest.raises(ProgramFailed, match=TIME_LIMIT):
            jail.run("x" * 10**7, MOST)
