"""`ray up` with processes for machines: a start that is interrupted."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.local_cluster import FILE, LocalCluster, make_token
from tests.support.process_table import gone


@pytest.mark.slow
def test_nothing_is_left_of_a_start_that_was_interrupted() -> None:
    make_token()
    cluster = LocalCluster(f"interrupted-{os.getpid()}")
    starting = cluster.start("up", "-y", "--no-config-cache", str(FILE), start_new_session=True)
    assert starting.stdout is not None
    try:
        for line in starting.stdout:
            if "Starting the Ray runtime" in line:
                break
        os.killpg(starting.pid, signal.SIGINT)
        starting.communicate(timeout=120)
        assert starting.returncode
    finally:
        starting.kill()
        cluster.down()
    assert gone(cluster.processes(), within_s=5)
