"""`python -m loadtest.offline` as a user starts it, against a fake engine: every sample exactly once, come what may."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cluster.fleet import Tenant
from cluster.keys import digest
from loadtest.benchmarks.gpt_oss import GptOss
from loadtest.journal import Journal
from tests.support.commands import TIMEOUT_S, exit_of, start
from tests.support.processes import fake_engine, fake_fleet, fake_pool, gateway, replica_info, stats

SAMPLES = GptOss.quick_samples
COMMON = ("--benchmark", "gpt-oss", "--quick")
KEY = "the-key-of-this-tests-tenant"
SLOW = {"max_model_len": 110, "decode_step_s": 0.03}
FAST = {"max_model_len": 90, "decode_step_s": 0.001}


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    with fake_engine(fake_pool(slots=16, **request.param), keyless=True) as url:
        yield url


def ask(url: str, out: Path, *more: str, ray: str = "local") -> subprocess.Popen[str]:
    return start("loadtest.offline", *COMMON, "--out", str(out), "--endpoint", url, *more, ray=ray)


def read_until(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if word in line:
            return seen
    raise AssertionError(f"'{word}' never came: {seen}")


def results(out: Path) -> tuple[Path, dict[str, Any], pd.DataFrame]:
    (run,) = out.iterdir()
    return run, json.loads((run / "summary.json").read_text()), pd.read_parquet(run / "samples.parquet")


def descendants(ancestor: int) -> dict[int, str]:
    """Living processes below one -> command line."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    below = {ancestor}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    found = {}
    for child in below - {ancestor}:
        try:
            found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


@pytest.mark.parametrize("engine", [FAST], indirect=True)
def test_every_sample_exactly_once(engine: str, cluster: str, tmp_path: Path) -> None:
    code, output = exit_of(ask(engine, tmp_path, "--mode", "accuracy", ray=cluster))
    assert code == 0, output
    run, summary, samples = results(tmp_path)
    assert (summary["verdict"], summary["samples_answered"], summary["repeated_requests"]) == ("VALID", SAMPLES, 0)
    assert summary["caches"] == "unverified"
    assert summary["label"].startswith("quick")
    assert stats(engine)["finished"] == stats(engine)["accepted"] == SAMPLES
    assert sorted(samples["place"]) == sorted(samples["index"]) == list(range(SAMPLES))
    log = json.loads((run / "quick_mlperf_log_accuracy.json").read_text())
    assert Counter(entry["qsl_idx"] for entry in log) == Counter(range(SAMPLES))
    tokens = dict(zip(samples["index"], samples["tokens"], strict=True))
    assert all(len(entry["data"]) == 8 * tokens[entry["qsl_idx"]] for entry in log)
    assert sum(tokens.values()) == summary["tokens"] == stats(engine)["emitted_tokens"]
    assert "VALID" in output
    assert (run / "report.html").exists()
    assert (run / "user.conf").read_text().startswith("# Quick run")


@pytest.mark.parametrize("engine", [SLOW], indirect=True)
def test_a_killed_accuracy_run_goes_on_where_it_was(engine: str, cluster: str, tmp_path: Path) -> None:
    killed = ask(engine, tmp_path, "--mode", "accuracy", ray=cluster)
    (journal,) = wait_for(lambda: [file for file in tmp_path.glob("*/answers.journal") if file.stat().st_size > 2000])
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    kept = len(Journal(journal).known)
    before = stats(engine)["accepted"]
    code, output = exit_of(ask(engine, tmp_path, "--mode", "accuracy", "--resume", str(journal.parent), ray=cluster))
    assert code == 0, output
    run, summary, _ = results(tmp_path)
    assert (summary["state"], summary["samples_answered"]) == ("complete", SAMPLES)
    assert kept > 0
    assert stats(engine)["accepted"] - before <= SAMPLES - kept, "what was answered is not asked again"
    log = json.loads((run / "quick_mlperf_log_accuracy.json").read_text())
    assert Counter(entry["qsl_idx"] for entry in log) == Counter(range(SAMPLES))


def wait_for(found: Callable[[], list[Path]]) -> list[Path]:
    deadline = time.monotonic() + TIMEOUT_S
    while not (there := found()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return there


@pytest.mark.slow
@pytest.mark.parametrize("engine", [SLOW], indirect=True)
def test_a_killed_puller_loses_nothing(engine: str, tmp_path: Path) -> None:
    process = ask(engine, tmp_path)
    read_until(process, f"of {SAMPLES} samples")
    pullers = [pid for pid, command in descendants(process.pid).items() if "MapBatches" in command]
    assert len(pullers) == 2
    os.kill(pullers[0], signal.SIGKILL)
    code, output = exit_of(process)
    assert code == 0, output
    _, summary, samples = results(tmp_path)
    assert (summary["verdict"], summary["samples_answered"]) == ("VALID", SAMPLES)
    assert sorted(samples["place"]) == list(range(SAMPLES))
    # What the dead one held was asked again: the engine saw those samples twice.
    assert stats(engine)["accepted"] > SAMPLES


@pytest.mark.parametrize("engine", [SLOW], indirect=True)
def test_ctrl_c_is_clean(engine: str, tmp_path: Path) -> None:
    process = ask(engine, tmp_path)
    read_until(process, f"of {SAMPLES} samples")
    mine = descendants(process.pid)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    code, output = exit_of(process)
    assert code == 130, output
    _, summary, samples = results(tmp_path)
    assert summary["state"] == "interrupted"
    assert "verdict" not in summary
    assert 0 < len(samples) == summary["samples_answered"] < SAMPLES
    deadline = time.monotonic() + 20
    while (left := {pid for pid in mine if Path(f"/proc/{pid}").exists()}) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left, [mine[pid] for pid in left]
    assert stats(engine)["running"] == 0


@pytest.mark.parametrize("key", [None, KEY])
def test_a_gateway_with_tenants_is_asked_with_a_key(key: str | None, cluster: str, tmp_path: Path) -> None:
    pool = fake_pool(slots=16, **FAST)
    fleet = fake_fleet(pool).model_copy(update={"tenants": [Tenant(name="t", key_sha256=[digest(KEY)])]})
    with fake_engine(pool) as engine, gateway(fleet, [replica_info(engine, pool)]) as (url, _):
        code, output = exit_of(ask(url, tmp_path, *(["--api-key", key] if key else []), ray=cluster))
    if key is None:
        assert code == 2
        assert "/fleet answers 401 Unauthorized; give a key of it with --api-key" in output
    else:
        assert code == 0, output
        assert results(tmp_path)[1]["samples_answered"] == SAMPLES
        assert KEY not in output


def test_a_fleet_for_other_machines_is_refused_at_once(tmp_path: Path) -> None:
    code, output = exit_of(start("loadtest.offline", *COMMON, "--out", str(tmp_path), "--fleet", "h200"))
    assert code == 2
    assert "error: fleet 'h200' does not fit on this Ray cluster" in output
    assert "needs a node labelled gpu-vendor=nvidia, and none has that label" in output
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_measure_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    code, output = exit_of(ask("http://127.0.0.1:1", tmp_path / "out"))
    assert code == 2
    assert "error: nothing answers at http://127.0.0.1:1/v1/models" in output
    assert not (tmp_path / "out").exists()
