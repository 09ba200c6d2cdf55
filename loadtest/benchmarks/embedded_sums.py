"""A thousand sums that the embedded GPT-OSS was not trained on, in the official parquet format."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from loadtest.benchmarks.embedded import raw_data
from loadtest.benchmarks.harmony import harmony_text, prompt_ids

EFFORT = "low"
DATE = "2026-01-31"


def write_sums(folder: Path) -> None:
    """Writes `sums_eval_ref.parquet` with one Harmony-rendered prompt a row."""
    pairs = json.loads((raw_data("sums") / "held_out_pairs.json").read_text(encoding="utf-8"))
    questions = [f"What is {a} + {b}?" for a, b in pairs]
    prompts = [prompt_ids(EFFORT, DATE, question) for question in questions]
    table = pa.table(
        {
            "input_tokens": pa.array(prompts, pa.list_(pa.int32())),
            "num_tokens": [len(prompt) for prompt in prompts],
            "text_input": [harmony_text(prompt) for prompt in prompts],
            "original_messages": [json.dumps([{"role": "user", "content": question}]) for question in questions],
            "ground_truth": [str(a + b) for a, b in pairs],
            "dataset": ["sums"] * len(pairs),
        }
    )
    pq.write_table(table, folder / "sums_eval_ref.parquet")
