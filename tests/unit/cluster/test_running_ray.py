from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster import running_ray as module
from cluster.running_ray import cluster_to_join
from tests.support.other_users import needs_root

OWN, OTHER = os.getuid(), os.getuid() + 4_000

AS_NOBODY = """
import os
os.setresuid(65534, 65534, 65534)
os.execv("/bin/sh", ["raylet", "-c", "echo runs; read end", "--gcs-address=127.0.0.1:6666"])
"""


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty table of processes, and an empty folder for temporary files."""
    monkeypatch.setattr(module, "PROCESSES", tmp_path)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    return tmp_path


def raylet(processes: Path, pid: int, address: str, *users: int, name: str = "/ray/raylet") -> None:
    folder = processes / str(pid)
    folder.mkdir()
    (folder / "cmdline").write_bytes(b"\0".join([name.encode(), b"--x=1", f"--gcs-address={address}".encode(), b""]))
    ids = "\t".join(map(str, users * 4 if len(users) == 1 else users))
    (folder / "status").write_text(f"Name:\traylet\nUid:\t{ids}\nGid:\t0\t0\t0\t0\n")


def test_auto_is_a_cluster_of_this_user_or_of_root(processes: Path) -> None:
    assert cluster_to_join("auto") == "local"
    raylet(processes, 1, "10.0.0.1:1", OWN, name="python")
    assert cluster_to_join("auto") == "local", "no raylet"
    raylet(processes, 2, "10.0.0.1:2", 0)
    assert cluster_to_join("auto") == "10.0.0.1:2"


def test_auto_is_never_another_users_cluster(processes: Path, caplog: pytest.LogCaptureFixture) -> None:
    raylet(processes, 1, "10.0.0.1:1", OTHER)
    raylet(processes, 2, "10.0.0.1:2", OTHER, 0, 0, 0)  # a program that becomes root for its user
    (processes / "ray").mkdir()
    (processes / "ray" / "ray_current_cluster").write_text("10.0.0.1:1")
    assert cluster_to_join("auto") == "local"
    assert "another user's Ray cluster runs on this machine and is not joined; RAY_ADDRESS=10.0.0.1:" in caplog.text
    raylet(processes, 3, "10.0.0.1:3", OWN)
    assert cluster_to_join("auto") == "10.0.0.1:3"


def test_of_several_clusters_of_this_user_auto_is_the_latest(processes: Path) -> None:
    for pid in (1, 2, 3):
        raylet(processes, pid, f"10.0.0.1:{pid}", OWN)
    (processes / "ray").mkdir()
    (processes / "ray" / "ray_current_cluster").write_text("10.0.0.1:2\n")
    assert cluster_to_join("auto") == "10.0.0.1:2"


@pytest.mark.parametrize("address", ["local", "10.0.0.1:6379", "ray://10.0.0.1:10001"])
def test_every_other_address_is_what_it_is(processes: Path, address: str) -> None:
    raylet(processes, 1, "10.0.0.1:1", OWN)
    assert cluster_to_join(address) == address


@needs_root
def test_a_real_process_of_another_user_that_is_called_raylet_is_not_joined() -> None:
    command = [sys.executable, "-S", "-c", AS_NOBODY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        assert started.stdin is not None
        assert started.stdout.readline()
        assert cluster_to_join("auto") != "127.0.0.1:6666"
        assert (False, "127.0.0.1:6666") in module._addresses()
        started.stdin.close()
