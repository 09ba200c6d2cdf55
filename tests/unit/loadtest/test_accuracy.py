from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from loadtest.accuracy import main
from loadtest.accuracy_file import ACCURACY_FILE, accuracy_text
from loadtest.benchmarks.base import Score
from loadtest.benchmarks.gpt_oss import encode_tokens
from loadtest.benchmarks.harmony import harmony_encoding

PATTERNS = {
    "whisper": r"Word Error Rate\:.*, accuracy=([0-9\.]+)%",
    "qwen3-vl": r"\{.*\"f1\":\s*([\d\.]+).*\}",
    "gpt-oss": r"'exact_match':\s*([\d\.]+)",
}
"""What the submission checker looks for."""


@pytest.mark.parametrize(("name", "value"), [("whisper", 97.93291), ("qwen3-vl", 0.7903037), ("gpt-oss", 83.13)])
def test_the_checker_reads_the_value_and_the_hash(name: str, value: float, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("[]")
    text = accuracy_text(name, Score("m", value, "%"), log)
    found = re.search(PATTERNS[name], text)
    assert found
    assert float(found[1]) == pytest.approx(value, abs=1e-4)
    assert text.splitlines()[-1] == f"hash={hashlib.sha256(b'[]').hexdigest()}"


def test_no_value_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without a value"):
        accuracy_text("gpt-oss", Score("m", None, "%"), tmp_path)


def a_run(folder: Path, right: int, samples: int = 8, **changes: Any) -> Path:
    """A finished accuracy run over the first embedded sums, `right` of them answered rightly."""
    pairs = json.loads((Path("loadtest/benchmarks/data/sums/held_out_pairs.json")).read_text())[:samples]
    encoding = harmony_encoding()
    entries = []
    for index, (a, b) in enumerate(pairs):
        answer = a + b if index < right else a + b + 1
        ids = encoding.encode(f"<|channel|>final<|message|>{answer}<|return|>", allowed_special="all")
        entries.append({"seq_id": index, "qsl_idx": index, "data": encode_tokens(list(ids)).hex().upper()})
    folder.mkdir()
    (folder / "mlperf_log_accuracy.json").write_text(json.dumps(entries))
    summary = {
        "benchmark": "gpt-oss",
        "scenario": "Server",
        "mode": "accuracy",
        "state": "complete",
        "label": "official settings",
        "data_set": {"description": "sums", "embedded": True, "samples": samples},
    }
    (folder / "summary.json").write_text(json.dumps(summary | changes))
    return folder


def test_a_finished_run_is_scored_and_the_file_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = a_run(tmp_path / "good", right=7), a_run(tmp_path / "bad", right=2)
    assert main([str(good)]) == 0
    assert main([str(good), str(bad)]) == 1
    shown = capsys.readouterr().out
    assert "87.5000 exact match" in shown
    assert "83.13" in shown
    assert "PASS (a toy figure" in shown
    assert "FAIL" in shown
    assert "'exact_match': 87.5" in (good / ACCURACY_FILE).read_text()
    assert json.loads((good / "summary.json").read_text())["accuracy"]["value"] == 87.5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mode": "performance"}, "no accuracy run"),
        ({"state": "interrupted"}, "--resume it first"),
        ({"data_set": {"description": "/data/acc.parquet", "embedded": False, "samples": 8}}, "give --data /data/acc"),
        ({"data_set": {"description": "sums", "embedded": True, "samples": 5}}, "sample 5 is none of"),
    ],
)
def test_what_cannot_be_scored(
    changes: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(a_run(tmp_path / "run", right=8, **changes))]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run" / ACCURACY_FILE).exists()


def test_either_folders_or_a_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["somewhere", "--benchmark", "gpt-oss"]) == 2
    assert capsys.readouterr().err.count("give the folders of accuracy runs") == 2
    assert main(["nowhere"]) == 2
