"""LoadGen itself, answered at once: each test in a process of its own, as LoadGen needs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.benchmarks.base import Mode
from loadtest.benchmarks.gpt_oss import GptOss, decode_tokens
from loadtest.loadgen.log import read_log, read_responses
from loadtest.loadgen.settings import LoadGenError
from loadtest.loadgen.settings import TestPlan as Plan

RUN = """
import sys, threading
from pathlib import Path
from loadtest.benchmarks.base import Mode
from loadtest.benchmarks.gpt_oss import GptOss, encode_tokens
from loadtest.loadgen.session import complete, run_loadgen
from loadtest.loadgen.settings import TestPlan
mode, samples, quick, tokens = Mode(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "quick", int(sys.argv[5])
def answer(responses, indexes):
    for start in range(0, len(responses), 64):
        part = list(zip(responses, indexes))[start : start + 64]
        complete([(response, encode_tokens([index, 7]), tokens) for response, index in part])
def issue(responses, indexes):
    threading.Thread(target=answer, args=(responses, indexes)).start()
run_loadgen(TestPlan(GptOss.official, mode, samples, quick), Path(sys.argv[1]), issue)
"""


def run(folder: Path, mode: Mode, samples: int, quick: bool = True, tokens: int = 2) -> Plan:
    arguments = [str(folder), mode, str(samples), "quick" if quick else "official", str(tokens)]
    ended = subprocess.run([sys.executable, "-c", RUN, *arguments], cwd=folder, capture_output=True, timeout=60)
    assert ended.returncode == 0, ended.stderr.decode()
    return Plan(GptOss.official, mode, samples, quick)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))


def test_a_quick_run_is_one_pass_and_valid(tmp_path: Path) -> None:
    plan = run(tmp_path, Mode.PERFORMANCE, 20)
    facts = read_log(plan, tmp_path)
    assert facts.valid
    assert facts.samples == 20
    assert facts.samples_per_s is not None
    assert facts.tokens_per_s == pytest.approx(2 * facts.samples_per_s, rel=1e-3)
    assert all(name.startswith("quick_") for name in (path.name for path in tmp_path.glob("*mlperf_log*")))


def test_an_official_run_that_ends_early_is_invalid_and_says_why(tmp_path: Path) -> None:
    plan = run(tmp_path, Mode.PERFORMANCE, 1000, quick=False)
    facts = read_log(plan, tmp_path)
    assert not facts.valid
    assert "the run was shorter than the minimum duration" in facts.reasons
    # 6396 asked for, rounded up to whole passes over the set.
    assert facts.samples == 7000


def test_the_accuracy_log_gives_back_every_answer(tmp_path: Path) -> None:
    plan = run(tmp_path, Mode.ACCURACY, 20)
    responses = read_responses(plan, tmp_path)
    assert {index: decode_tokens(data) for index, data in responses.items()} == {i: [i, 7] for i in range(20)}
    facts = read_log(plan, tmp_path)
    assert (facts.valid, facts.samples, facts.samples_per_s) == (True, 20, None)


def test_answers_of_one_token_do_not_crash_loadgen(tmp_path: Path) -> None:
    facts = read_log(run(tmp_path, Mode.PERFORMANCE, 20, tokens=0), tmp_path)
    assert facts.valid
    assert facts.tokens_per_s == pytest.approx(2 * (facts.samples_per_s or 0), rel=1e-3)


def test_a_stray_audit_config_is_not_obeyed(tmp_path: Path) -> None:
    (tmp_path / "audit.config").write_text("*.*.min_query_count = 3\n*.*.performance_sample_count_override = 3\n")
    assert read_log(run(tmp_path, Mode.PERFORMANCE, 20), tmp_path).samples == 20


def test_a_log_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    plan = Plan(GptOss.official, Mode.ACCURACY, 20)
    with pytest.raises(LoadGenError, match="not a complete LoadGen log"):
        read_log(plan, tmp_path)
    (tmp_path / "mlperf_log_detail.txt").write_text(':::MLLOG {"key": "x", "value": 1, "metadata": {}}\n')
    with pytest.raises(LoadGenError, match="ends before the test began"):
        read_log(plan, tmp_path)
    (tmp_path / "mlperf_log_accuracy.json").write_text('[\n{ "seq_id" : 0, "qsl_idx" : 1,')
    with pytest.raises(LoadGenError, match="not a complete accuracy log"):
        read_responses(plan, tmp_path)
