from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from loadtest.compare.__main__ import main

Captured = pytest.CaptureFixture[str]


def test_tables_for_a_terminal(a_run: Any, capsys: Captured) -> None:
    runs = [a_run("a"), a_run("b", label="quick: not MLPerf"), a_run("c", 13_000.0)]
    assert main([*map(str, runs)]) == 0
    told = capsys.readouterr().out
    assert "13,000.00 tokens/s (x 1.083)" in told
    assert "comparable with 1, 3" in told
    assert told.count("gpt-oss Server, published:") == 1
    assert "2 b: not comparable with published results: quick" in told


def test_one_run_alone_is_shown(a_run: Any, capsys: Captured) -> None:
    assert main([str(a_run("a"))]) == 0
    assert "12,000.00 tokens/s" in capsys.readouterr().out


def test_a_page_is_whole_and_escaped(a_run: Any, tmp_path: Path, capsys: Captured) -> None:
    runs = [a_run("<a>"), a_run("b", label="quick & dirty"), a_run("other/<a>")]
    assert main([*map(str, runs), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "1 &lt;a&gt;" in page
    assert "3 &lt;a&gt;" in page, "runs of one name are told apart"
    assert "<a>" not in page
    assert re.findall(r"<h2>([^<]+)</h2>", page) == [
        "gpt-oss Server performance",
        "gpt-oss Server performance, quick",
        "gpt-oss Server, published",
    ]
    assert page.count("<svg") == 2 * len(("values", "TTFT", "TPOT", "E2E")) + 1
    assert "limit of p99: 3 s" in page
    assert "run 3: h200: 1,500" in page
    assert "run 2" not in page, "a quick run has no bar among the published"
    assert "page:" in capsys.readouterr().out


def test_what_cannot_be_compared_or_written(a_run: Any, tmp_path: Path, capsys: Captured) -> None:
    assert main([str(tmp_path)]) == 2
    assert "not a run's folder" in capsys.readouterr().err
    assert main([str(a_run("a")), "--out", str(tmp_path / "nowhere" / "page.html")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_scripts_get_json(a_run: Any, capsys: Captured) -> None:
    assert main([str(a_run("a")), str(a_run("b")), "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    assert set(compared) == {"runs", "tests", "published", "remarks"}
    assert [run["name"] for run in compared["runs"]] == ["1 a", "2 b"]
