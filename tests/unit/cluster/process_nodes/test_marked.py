from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from cluster.process_nodes.marked import MARKER, end_marked, marked
from tests.support.process_table import alive

NODE, OTHER = f"/marked-test/{os.getpid()}/node-1", f"/marked-test/{os.getpid()}/node-10"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
PARENT = "import subprocess, sys, time; subprocess.Popen(['sleep', '60'], start_new_session=True); time.sleep(60)"


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    end_marked(NODE, grace_s=0)
    end_marked(OTHER, grace_s=0)


def start(node: str, code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, MARKER: node}, stdout=subprocess.PIPE, start_new_session=True
    )


@pytest.fixture
def neighbour() -> Iterator[subprocess.Popen[bytes]]:
    """Of a node whose name begins with that of the node under test."""
    process = start(OTHER, "import time; time.sleep(60)")
    yield process
    process.kill()
    process.communicate()


def test_a_node_s_processes_are_found_and_ended_wherever_they_hang(neighbour: subprocess.Popen[bytes]) -> None:
    parent = start(NODE, PARENT)
    while len(found := marked(NODE)) < 2:
        time.sleep(0.02)
    assert parent.pid in found
    end_marked(NODE, grace_s=5)
    assert parent.wait(5) == -15
    assert not marked(NODE)
    assert alive(neighbour.pid)
    parent.communicate()


def test_what_ignores_the_request_is_killed() -> None:
    stubborn = start(NODE, STUBBORN)
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    end_marked(NODE, grace_s=0.2)
    assert stubborn.wait(5) == -9
    stubborn.communicate()


def test_a_node_s_own_request_spares_those_who_make_it(neighbour: subprocess.Popen[bytes]) -> None:
    """As `ray stop` in a node's shell: the shell goes on after it."""
    beside = start(NODE, "import time; time.sleep(60)")
    shell = subprocess.run(
        ["bash", "-c", f"{shlex.quote(sys.executable)} -m cluster.process_nodes.marked; echo went on"],
        env={**os.environ, MARKER: NODE},
        capture_output=True,
        timeout=30,
        text=True,
        check=True,
    )
    assert shell.stdout == "went on\n"
    assert beside.wait(5) == -15
    assert alive(neighbour.pid)
    beside.communicate()
