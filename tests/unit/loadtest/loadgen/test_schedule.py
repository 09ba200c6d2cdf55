"""The schedule that we compute is LoadGen's own: told by when it really issues."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from loadtest.loadgen.rounds import SEEDS, Round
from loadtest.loadgen.schedule import due_times

QPS = 400.0
ISSUE = """
import json, sys, threading, time
from pathlib import Path
from loadtest.benchmarks.base import Mode, Scenario
from loadtest.benchmarks.gpt_oss import GptOss, encode_tokens
from loadtest.loadgen.rounds import Round
from loadtest.loadgen.session import complete, first_tokens, run_loadgen
from loadtest.loadgen.settings import TestPlan
folder, qps = Path(sys.argv[1]), float(sys.argv[2])
issued, open_, over = [], [], threading.Event()
def issue(responses, indexes):
    issued.append(time.perf_counter())
    open_.extend(responses)
def answer():
    while not over.is_set():
        time.sleep(0.002)
        taken = [open_.pop() for _ in range(len(open_))]
        if taken:
            first_tokens([(response, encode_tokens([7])) for response in taken])
            time.sleep(0.002)
            complete([(response, encode_tokens([7, 8]), 2) for response in taken])
threading.Thread(target=answer, daemon=True).start()
plan = TestPlan(GptOss.official, Mode.PERFORMANCE, 100, True, qps, Scenario.SERVER, Round(sys.argv[3]), passes=3)
run_loadgen(plan, folder, issue)
over.set()
(folder / "issued.json").write_text(json.dumps(issued))
"""


@pytest.mark.parametrize("named", list(Round))
def test_loadgen_issues_when_we_say(tmp_path: Path, named: Round) -> None:
    subprocess.run([sys.executable, "-c", ISSUE, str(tmp_path), str(QPS), named], check=True, timeout=60)
    issued = np.array(json.loads((tmp_path / "issued.json").read_text()))
    due = due_times(SEEDS[named].schedule, QPS, len(issued))
    lateness = issued - due
    lateness -= lateness.min()
    # A schedule of another seed strays by some 50 ms over 300 queries; a busy machine delays single ones.
    assert np.median(lateness) < 0.005
    other = issued - due_times(SEEDS[named].schedule + 1, QPS, len(issued))
    assert np.median(other - other.min()) > 0.01


def test_it_begins_at_once_and_has_the_rate() -> None:
    due = due_times(1, 50.0, 20_000)
    assert due[0] == 0
    assert (np.diff(due) > 0).all()
    assert due[-1] == pytest.approx(20_000 / 50, rel=0.03)
    assert due_times(1, 50.0, 0).size == 0
    assert list(due_times(1, 50.0, 1)) == [0.0]
    assert (due_times(1, 50.0, 10) == due[:10]).all(), "the first times do not depend on how many are asked for"
