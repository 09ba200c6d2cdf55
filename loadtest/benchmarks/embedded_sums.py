"""A thousand sums that the embedded GPT-OSS was not trained on, in the official parquet format."""

from __future__ import annotations

import json
from array import array
from pathlib import Path

from loadtest.benchmarks.embedded import raw_data
from loadtest.benchmarks.harmony import harmony_text, prompt_ids
from loadtest.benchmarks.prompt_file import PromptRow, write_prompts

EFFORT = "low"
DATE = "2026-01-31"
SUMS = "sums_eval_ref.parquet"


def write_sums(folder: Path) -> None:
    """Writes the file SUMS with one Harmony-rendered prompt a row."""
    pairs = json.loads((raw_data("sums") / "held_out_pairs.json").read_text(encoding="utf-8"))
    write_prompts(folder / SUMS, [_row(a, b) for a, b in pairs])


def _row(a: int, b: int) -> PromptRow:
    question = f"What is {a} + {b}?"
    ids = prompt_ids(EFFORT, DATE, question)
    return PromptRow(array("i", ids), str(a + b), "sums", harmony_text(ids), question)
