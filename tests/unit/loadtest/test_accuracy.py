from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadtest import accuracy
from loadtest.accuracy import main
from loadtest.accuracy_file import ACCURACY_FILE
from loadtest.benchmarks.base import Mode, Scenario
from loadtest.benchmarks.gpt_oss import encode_tokens
from loadtest.benchmarks.harmony import harmony_encoding
from loadtest.benchmarks.scoring.sandbox.sandbox import Sandbox, SandboxError
from loadtest.benchmarks.whisper import encode_transcript
from loadtest.run import Options, Run
from loadtest.summary import OFFICIAL_LABEL, QUICK_LABEL
from tests.support.jailed import require_namespaces

ADD = "```python\na, b = map(int, input().split())\nprint(a + b)\n```"


def harmony(final: str) -> bytes:
    text = f"<|channel|>final<|message|>{final}<|return|>"
    return encode_tokens(list(harmony_encoding().encode(text, allowed_special="all")))


def a_run(folder: Path, answers: list[bytes], **changes: Any) -> Path:
    """The folder of a finished accuracy run over the embedded sums."""
    folder.mkdir()
    entries = [
        {"seq_id": place, "qsl_idx": place, "data": data.hex().upper(), "token_count": len(data) // 4}
        for place, data in enumerate(answers)
    ]
    (folder / "mlperf_log_accuracy.json").write_text(json.dumps(entries))
    summary = {
        "benchmark": "gpt-oss",
        "scenario": "Server",
        "mode": "accuracy",
        "state": "complete",
        "label": OFFICIAL_LABEL,
        "model": "m",
        "verdict": "VALID",
        "reasons": [],
        "data_set": {"description": "sums", "embedded": True, "samples": len(answers)},
        "samples_answered": len(answers),
        "samples_issued": len(answers),
        "seconds": 1.0,
        "caches": "off",
    }
    (folder / "summary.json").write_text(json.dumps(summary | changes))
    return folder


def sums(right: int, asked: int = 8) -> list[bytes]:
    """Answers to the first embedded sums, so many of them right."""
    pairs = json.loads((Path("loadtest/benchmarks/data/sums/held_out_pairs.json")).read_text())[:asked]
    return [harmony(str(a + b + (place >= right))) for place, (a, b) in enumerate(pairs)]


def prompts(file: Path, *rows: tuple[str, str]) -> Path:
    """A data set of (data set, truth)."""
    count = len(rows)
    table = {
        "input_tokens": [[1]] * count,
        "num_tokens": [1] * count,
        "text_input": [""] * count,
        "original_messages": [""] * count,
        "ground_truth": [truth for _, truth in rows],
        "dataset": [name for name, _ in rows],
    }
    pq.write_table(pa.table(table), file)
    return file


def test_finished_runs_are_scored_and_the_file_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = a_run(tmp_path / "good", sums(right=7)), a_run(tmp_path / "bad", sums(right=2))
    assert main([str(good)]) == 0
    assert main([str(good), str(bad)]) == 1
    shown = capsys.readouterr().out
    assert "87.5000 exact match" in shown
    assert main([str(good), str(bad), "--json"]) == 1
    scored = json.loads(capsys.readouterr().out)
    assert [(run["value"], run["passed"]) for run in scored] == [(87.5, True), (25.0, False)]
    assert "83.13" in shown
    assert "82.2987" in shown
    assert "PASS (a toy figure" in shown
    assert "FAIL" in shown
    assert "good: sums: 7 of 8 right" in shown
    assert "'exact_match': 87.500\n" in (good / ACCURACY_FILE).read_text()
    assert json.loads((good / "summary.json").read_text())["accuracy"]["value"] == 87.5
    assert "87.50 % exact match" in (good / "report.html").read_text()


@pytest.mark.parametrize(
    ("changes", "marked"),
    [
        ({"verdict": "INVALID", "reasons": ["3 samples were not answered"]}, "FAIL (the run is INVALID: 3 samples"),
        ({"label": QUICK_LABEL}, "PASS (a toy figure"),
        ({"not_submittable_because": ["caches are on in 2 replicas"]}, "run: not submittable: caches are on"),
    ],
)
def test_what_does_not_count_says_so(
    changes: dict[str, Any], marked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(a_run(tmp_path / "run", sums(right=8), **changes))]) == (1 if "FAIL" in marked else 0)
    assert marked in capsys.readouterr().out


def test_a_part_of_the_official_set_is_no_plain_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = prompts(tmp_path / "p.parquet", ("gpqa_diamond", "B"))
    given = {"data_set": {"description": str(data), "embedded": False, "samples": 1}}
    assert main([str(a_run(tmp_path / "run", [harmony("B")], **given)), "--data", str(data)]) == 0
    assert "PASS (over 1 samples instead of 4395)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mode": "performance"}, "no accuracy run"),
        ({"state": "interrupted"}, "--resume it first"),
        ({"data_set": {"description": "/data/acc.parquet", "embedded": False, "samples": 8}}, "give --data /data/acc"),
        ({"data_set": {"description": "sums", "embedded": True, "samples": 5}}, "sample 5 is none of"),
        ({"data_set": {"description": "sums", "embedded": True, "samples": 9}}, "answers to 8 of 9 samples"),
        ({"data_set": {"description": "sums", "embedded": True, "samples": 9999}}, "from 9999 samples"),
        ({"benchmark": "resnet"}, "resnet"),
        ({"benchmark": "whisper", "data_set": {"description": "", "embedded": True, "samples": 5}}, "none of"),
    ],
)
def test_what_cannot_be_scored(
    changes: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(a_run(tmp_path / "run", sums(right=8), **changes))]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run" / ACCURACY_FILE).exists()


@pytest.mark.parametrize("data", [b"abc", b"\xff" * 8])
def test_bytes_that_are_no_answer(data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    speech = {"benchmark": "whisper", "scenario": "Offline"}
    assert main([str(a_run(tmp_path / "run", [encode_transcript("he was")] * 4 + [data], **speech))]) == 2
    assert "error: " in capsys.readouterr().err


def test_either_folders_or_a_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["somewhere", "--benchmark", "gpt-oss"]) == 2
    assert capsys.readouterr().err.count("give the folders of accuracy runs") == 2
    assert main(["nowhere"]) == 2


@pytest.mark.parametrize("scenario", list(Scenario))
def test_a_run_is_made_and_scored(scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Options] = []

    def run(options: Options) -> Run:
        asked.append(options)
        return Run(a_run(tmp_path / "made", sums(right=8), scenario=str(scenario)), True, None)

    monkeypatch.setattr(accuracy, "run", run)
    assert main(["--benchmark", "gpt-oss", "--scenario", scenario.lower(), "--target-qps", "3", "--quick"]) == 0
    assert (asked[0].scenario, asked[0].mode, asked[0].target_qps) == (scenario, Mode.ACCURACY, 3)
    assert (tmp_path / "made" / ACCURACY_FILE).exists()


def coding(folder: Path) -> tuple[Path, Path, Path]:
    """A run with two questions of LiveCodeBench thrice each, its data set and the problems."""
    rows = [("livecodebench_v6", name) for name in ("add", "hard") for _ in range(3)] + [("gpqa_diamond", "B")] * 5
    answers = [harmony(ADD), harmony("```python\nprint(4)\n```"), harmony("no idea")] + [harmony(ADD)] * 3
    data = prompts(folder / "p.parquet", *rows)
    given = {"data_set": {"description": str(data), "embedded": False, "samples": len(rows)}}
    tests = [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]
    problems = folder / "test.jsonl"
    lines = [
        {
            "question_id": name,
            "public_test_cases": json.dumps(cases),
            "private_test_cases": "[]",
            "metadata": "{}",
        }
        for name, cases in (("add", tests), ("hard", [*tests, {"input": "x", "output": "y", "testtype": "stdin"}]))
    ]
    problems.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return a_run(folder / "run", answers + [harmony("B")] * 5, **given), data, problems


def test_programs_are_run_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, data, problems = coding(tmp_path)
    assert main([str(run), "--data", str(data)]) == 2
    shown = capsys.readouterr()
    assert "run: livecodebench_v6: 6 asked, not scored" in shown.out
    assert "gpqa_diamond: 5 of 5 right" in shown.out
    assert "no overall value: livecodebench_v6 is not scored; --run-code --livecodebench PATH" in shown.err
    assert not (run / ACCURACY_FILE).exists()
    for half in (["--run-code"], ["--livecodebench", str(problems)]):
        assert main([str(run), "--data", str(data), *half]) == 2
        assert "go together" in capsys.readouterr().err


def test_programs_are_judged_and_weighed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require_namespaces()
    run, data, problems = coding(tmp_path)
    assert main([str(run), "--data", str(data), "--run-code", "--livecodebench", str(problems)]) == 1
    value = 100 * (1 / 3 + 5 / 5) / (2 + 1)
    assert json.loads((run / "summary.json").read_text())["accuracy"]["value"] == pytest.approx(value)
    assert f"'exact_match': {value:.3f}\n" in (run / ACCURACY_FILE).read_text()
    assert "1 of 6 right (3 error, 1 no code, 1 passed, 1 wrong output)" in capsys.readouterr().out


def test_no_program_runs_where_there_is_no_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Sandbox) -> Sandbox:
        raise SandboxError("no user namespaces")

    monkeypatch.setattr(Sandbox, "__enter__", refuse)
    run, data, problems = coding(tmp_path)
    assert main([str(run), "--data", str(data), "--run-code", "--livecodebench", str(problems)]) == 2
    assert "no user namespaces" in capsys.readouterr().err


def test_code_is_a_matter_of_gpt_oss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Sandbox, "__enter__", lambda sandbox: sandbox)
    _, _, problems = coding(tmp_path)
    speech = a_run(tmp_path / "speech", [encode_transcript("he was")] * 5, benchmark="whisper", scenario="Offline")
    assert main([str(speech), "--run-code", "--livecodebench", str(problems)]) == 2
    assert "whisper asks for no programs" in capsys.readouterr().err
    monkeypatch.setattr(accuracy, "run", lambda _: pytest.fail("it is refused before anything is measured"))
    assert main(["--benchmark", "whisper", "--run-code", "--livecodebench", str(problems)]) == 2
    assert "whisper asks for no programs" in capsys.readouterr().err
    assert main([str(speech), "--run-code", "--livecodebench", str(tmp_path / "absent")]) == 2
    assert "not readable" in capsys.readouterr().err
