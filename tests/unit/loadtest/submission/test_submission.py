from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.checkpoints.pinned import sha256_of
from loadtest.benchmarks.base import Scenario
from loadtest.benchmarks.gpt_oss import GptOss
from loadtest.compliance.evidence import FAIL
from loadtest.loadgen.rounds import Round
from loadtest.submission.__main__ import main
from loadtest.submission.marks import MARK, MARK_FILE
from loadtest.submission.tree import KEPT_OF_LOG, MOST_ACCURACY_LOG, truncated
from tests.support.run_folders import (
    SYSTEM,
    add_error,
    change,
    change_log,
    mixed,
    official_runs,
    replica,
    run_folder,
)
from tests.support.submission_checks import problems

REST = ["--system", "s.json", "--submitter", "U", "--division", "open", "--out", "x"]


WHISPER = ("performance", "accuracy", "TEST01")


def submit(tmp_path: Path, runs: list[Path], *options: str, **system: Any) -> int:
    file = tmp_path / "two-nodes.json"
    file.write_text(json.dumps(SYSTEM | system))
    common = ["--system", str(file), "--submitter", "Us", "--out", str(tmp_path / "tree")]
    division = [] if "--division" in options else ["--division", "closed"]
    return main(["--runs", *map(str, runs), *common, *division, *options])


@pytest.mark.parametrize("named", list(Round))
def test_a_closed_tree_of_all_three_models_passes_every_check(tmp_path: Path, named: Round) -> None:
    runs = official_runs(tmp_path / "runs", named)
    assert submit(tmp_path, runs, "--round", named) == 0
    assert problems(tmp_path / "tree", named) == []
    results = tmp_path / "tree/closed/Us/results/two-nodes"
    assert {path.name for path in results.iterdir()} == {"whisper", "qwen3-vl-235b-a22b", "gpt-oss-120b"}
    assert (results / "gpt-oss-120b/Interactive/TEST07/verify_accuracy.txt").is_file()
    log = results / "gpt-oss-120b/Server/accuracy/mlperf_log_accuracy.json"
    whole = tmp_path / "runs/gpt-oss-server-accuracy/mlperf_log_accuracy.json"
    assert log.stat().st_size <= MOST_ACCURACY_LOG < whole.stat().st_size
    assert f"hash={sha256_of(whole)}" in log.with_name("accuracy.txt").read_text()
    assert MARK not in (results / "whisper/Offline/README.md").read_text()


@pytest.mark.parametrize(("baseline", "submitted"), [(97.9, True), (96.1, True), (96.0, False)])
def test_test01_of_a_fleet_that_is_not_deterministic(baseline: float, submitted: bool, tmp_path: Path) -> None:
    """As batching changes a few answers, it passes by the word error rates, in a tree that the checker takes."""
    runs = [run_folder(tmp_path / "runs", "whisper", Scenario.OFFLINE, kind) for kind in WHISPER]
    within = "within" if submitted else "not within"
    answers = {
        "verify_accuracy.txt": f"{FAIL}\n97.0 and {baseline}: {within} 1%\n",
        "accuracy/baseline_accuracy.txt": f"Word Error Rate: {100 - baseline}%, accuracy={baseline}%\n",
        "accuracy/compliance_accuracy.txt": "Word Error Rate: 3%, accuracy=97.0%\n",
        "accuracy/accuracy.txt": f"Word Error Rate: 3%, accuracy=97.0%\n\nhash={'0' * 64}\n",
    }
    (runs[-1] / "accuracy").mkdir()
    for name, content in answers.items():
        (runs[-1] / name).write_text(content)
    assert submit(tmp_path, runs) == (0 if submitted else 2)
    if submitted:
        assert problems(tmp_path / "tree", Round.V6_1) == []


def test_test01_lasts_as_long_as_a_performance_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The checker holds its log to the same; GPT-OSS's tests have an audit.config that shortens them."""
    runs = [run_folder(tmp_path / "runs", "whisper", Scenario.OFFLINE, kind) for kind in WHISPER]
    change_log(runs[-1], "effective_min_duration_ms", 0)
    assert submit(tmp_path, runs) == 2
    assert "whisper-offline-test01: LoadGen ran with min_duration_ms 0 instead of 600000" in capsys.readouterr().err


def test_an_open_tree_of_two_vendors_passes_every_check(tmp_path: Path) -> None:
    served = mixed(GptOss.official)
    runs = [
        run_folder(tmp_path / "runs", "gpt-oss", scenario, kind, replicas=served)
        for scenario in (Scenario.OFFLINE, Scenario.SERVER)
        for kind in ("performance", "accuracy")
    ]
    assert submit(tmp_path, runs, "--division", "open") == 0
    assert problems(tmp_path / "tree", Round.V6_1) == []
    system = json.loads((tmp_path / "tree/open/Us/systems/two-nodes.json").read_text())
    assert system["accelerator_model_name"] == "NVIDIA H200 (x8) and AMD MI350X (x8)"
    assert (system["number_of_nodes"], system["accelerators_per_node"]) == (2, 8)
    assert "vLLM 0.14.1 (cuda) and vLLM 0.14.1 (rocm)" in system["framework"]


WRONG: list[tuple[str, Callable[[Path], object], str]] = [
    ("performance", lambda run: change(run, state="interrupted"), "interrupted, not complete"),
    ("performance", lambda run: change(run, label="quick: not an MLPerf result"), "a quick run"),
    ("performance", lambda run: change(run, verdict="INVALID", reasons=["TTFT"]), "INVALID: TTFT"),
    ("performance", lambda run: change_log(run, "result_validity", "INVALID"), "see its logs"),
    ("accuracy", lambda run: add_error(run, "no first token"), "LoadGen error in its log: no first token"),
    ("performance", lambda run: change(run, round="v6.0"), "rules of v6.0, this is v6.1"),
    ("performance", lambda run: change_log(run, "effective_schedule_rng_seed", 7), "schedule_rng_seed 7 instead"),
    ("performance", lambda run: change_log(run, "effective_min_duration_ms", 10_000), "min_duration_ms 10000"),
    ("performance", lambda run: change_log(run, "generated_query_duration", 6 * 10**10), "lasted 60 s instead of 600"),
    ("performance", lambda run: change(run, unofficial=["ours"]), "unofficial: ours"),
    ("accuracy", lambda run: change(run, data_set={"embedded": True, "samples": 4395}), "is a toy"),
    ("accuracy", lambda run: change(run, data_set={"embedded": False, "samples": 400}), "400 samples instead of 4395"),
    ("performance", lambda run: change(run, caches="on"), "caches are on"),
    ("performance", lambda run: change(run, caches="unverified"), "caches are unverified"),
    ("performance", lambda run: change(run, fleet=None), "an endpoint of others"),
    ("performance", lambda run: change(run, checkpoint="mine"), "checkpoint mine at"),
    ("performance", lambda run: change(run, deviations=["greedy"]), "deviation: greedy"),
    ("performance", lambda run: _serve(run, engine="fake"), "8 replicas are fake engines"),
    ("performance", lambda run: _serve(run, revision="other"), "different fleets or weights"),
    ("accuracy", lambda run: change(run, accuracy={"value": 80.0}), "accuracy 80.0000 is below 82.2987"),
    ("accuracy", lambda run: (run / "accuracy.txt").unlink(), "has no accuracy.txt"),
    ("accuracy", lambda run: (run / "mlperf_log_accuracy.json").write_text("[]"), "is not of its log"),
    ("TEST07", lambda run: (run / "verify_accuracy.txt").write_text("TEST FAIL"), "verify_accuracy.txt says so"),
    ("TEST09", lambda run: (run / "verify_output_len.txt").unlink(), "verify_output_len.txt is missing"),
]


def _serve(run: Path, **fields: Any) -> None:
    served = [replica(GptOss.official, number) | fields for number in range(8)]
    change(run, fleet={"models": [{"name": "m", "replicas": served}]})


@pytest.mark.parametrize(("kind", "spoil", "reason"), WRONG, ids=[reason for _, _, reason in WRONG])
def test_whatever_is_wrong_is_refused_with_its_reason(
    kind: str, spoil: Callable[[Path], object], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ("performance", "accuracy", "TEST07", "TEST09")
    runs = {
        (scenario, one): run_folder(tmp_path / "runs", "gpt-oss", scenario, one)
        for scenario in (Scenario.OFFLINE, Scenario.SERVER)
        for one in kinds
    }
    spoil(runs[Scenario.SERVER, kind])
    assert submit(tmp_path, list(runs.values())) == 2
    refused = capsys.readouterr().err
    assert reason in refused
    assert "gpt-oss Offline" not in refused, "the other scenario is as it should be"
    assert not (tmp_path / "tree").exists()


def test_what_is_missing_or_double_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = run_folder(tmp_path / "1", "gpt-oss", Scenario.OFFLINE, "performance")
    two = run_folder(tmp_path / "2", "gpt-oss", Scenario.OFFLINE, "performance")
    interactive = run_folder(tmp_path / "3", "qwen3-vl", Scenario.INTERACTIVE, "performance")
    assert submit(tmp_path, [one, two, interactive]) == 2
    refused = capsys.readouterr().err
    for reason in (
        "gpt-oss Offline: no accuracy run",
        "gpt-oss Offline: no TEST07 run",
        "2 performance runs",
        "gpt-oss: v6.1 asks for Server or Interactive too",
        "qwen3-vl: v6.1 asks for Offline too",
        "unofficial: MLCommons runs Qwen3-VL Interactive with another client",
    ):
        assert reason in refused


def test_a_rehearsal_lets_it_through_and_marks_every_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = official_runs(tmp_path / "runs")
    for run in runs:
        change(run, data_set={**json.loads((run / "summary.json").read_text())["data_set"], "embedded": True})
    assert submit(tmp_path, runs) == 2
    assert submit(tmp_path, runs, "--rehearsal") == 0
    tree = tmp_path / "tree"
    assert problems(tree, Round.V6_1) == [], "marks do not disturb the checker"
    assert "the embedded data set is a toy" in (tree / MARK_FILE).read_text()
    unmarked = [path.name for path in tree.rglob("*") if path.is_file() and MARK not in path.read_text()]
    assert set(unmarked) == {"mlperf_log_accuracy.json"}, "the only files that cannot hold a word of ours"
    capsys.readouterr()
    (tree / "summary.json").write_text((runs[0] / "summary.json").read_text())
    assert main(["--runs", str(tree), *REST]) == 2
    assert "tree of a rehearsal" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"status": "shipping"}, "'status' is one of available"),
        ({"accelerators_per_node": "8 H200 + 8 MI350X"}, "must be a whole number"),
        ({"cooling": ""}, "'cooling' is missing"),
        ({"colour": "grey"}, "unknown field 'colour'"),
        ({"system_type": "car"}, "'system_type' is one of"),
    ],
)
def test_a_system_that_is_not_described(
    fields: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(tmp_path, official_runs(tmp_path / "runs"), **fields) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "tree").exists()
    assert not list(tmp_path.glob(".tree*")), "nothing half built is left"


def test_a_template_asks_for_what_no_fleet_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder(tmp_path, "gpt-oss", Scenario.OFFLINE, "performance")
    assert main(["--runs", str(run), "--template"]) == 0
    filled = json.loads(capsys.readouterr().out)
    assert filled["accelerator_model_name"] == "NVIDIA H200"
    assert filled["cooling"] == ""
    assert {name for name, value in filled.items() if not value} >= SYSTEM.keys() - {"status"} - filled.keys()
    file = tmp_path / "s.json"
    file.write_text(json.dumps({name: value or SYSTEM.get(name, "") for name, value in filled.items()}))


def test_bad_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = official_runs(tmp_path / "runs")
    assert main(["--runs", str(runs[0])]) == 2
    assert main(["--runs", str(tmp_path), *REST]) == 2
    assert main(["--runs", str(runs[0]), *REST, "--submitter", "../U"]) == 2
    (tmp_path / "tree").mkdir()
    assert submit(tmp_path, runs) == 2
    told = capsys.readouterr().err
    for said in ("give --system", "not the folder of a finished LoadGen run", "becomes the name of a folder", "exists"):
        assert said in told


def test_a_long_log_keeps_its_begin_and_its_end() -> None:
    log = bytes(range(256)) * 100
    short = truncated(log)
    assert len(short) <= MOST_ACCURACY_LOG
    assert (short[:KEPT_OF_LOG], short[-KEPT_OF_LOG:]) == (log[:KEPT_OF_LOG], log[-KEPT_OF_LOG:])
    assert truncated(log[:MOST_ACCURACY_LOG]) == log[:MOST_ACCURACY_LOG]
