from __future__ import annotations

from typing import Any

from cluster.tables import aligned, plain
from loadtest.report.page import document, page, table
from loadtest.report.rows import HEADINGS
from loadtest.report.text import run_table

SUMMARY: dict[str, Any] = {
    "label": "quick: not an MLPerf result, not to be submitted",
    "state": "complete",
    "benchmark": "whisper",
    "scenario": "Offline",
    "mode": "performance",
    "model": "<b>w</b>",
    "samples_issued": 5,
    "samples_answered": 5,
    "seconds": 2.04,
    "caches": "off",
    "verdict": "VALID",
    "reasons": [],
    "not_submittable_because": ["a quick run"],
    "metric": "tokens/s",
    "value": 1234.5,
    "accuracy": {"metric": "exact match", "value": 98.765, "unit": "%", "detail": {}, "note": "a toy figure"},
}
CUT = {**SUMMARY, "state": "interrupted", "verdict": None, "value": None, "accuracy": None, "error": "interrupted"}
del CUT["verdict"]


def test_a_line_a_run_and_remarks_below() -> None:
    lines = plain(run_table([SUMMARY, CUT])).splitlines()
    assert lines[0].split() == list(HEADINGS)
    assert "VALID" in lines[2]
    assert "1,234.50 tokens/s" in lines[2]
    assert "98.77 % exact match" in lines[2]
    assert "performance (quick)" in lines[2]
    assert "interrupted" in lines[3]
    assert "whisper performance: not submittable: a quick run" in lines
    assert "whisper performance: accuracy: a toy figure" in lines


def test_the_page_is_labelled_and_escaped() -> None:
    drawn = page(SUMMARY)
    assert "not to be submitted" in drawn
    assert "&lt;b&gt;w&lt;/b&gt;" in drawn
    assert "<b>w</b>" not in drawn


def test_parts_of_a_page_are_escaped_and_whole() -> None:
    drawn = document("<t>", "l&l", table(("a", "b"), [("1", "<2>"), ("3", "4")]))
    assert "<h1>&lt;t&gt;</h1>" in drawn
    assert "l&amp;l" in drawn
    assert "<tr><th>a</th><th>b</th></tr><tr><td>1</td><td>&lt;2&gt;</td></tr><tr><td>3</td><td>4</td></tr>" in drawn


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert aligned(("a", "long"), [("wide", "1"), ("w", "2")]) == ["a     long", "----  ----", "wide  1", "w     2"]
