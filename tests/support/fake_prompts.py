"""GPT-OSS prompts for fake engines, in MLCommons' parquet format and in the fakes' own token ids."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from deployments.engine.fake.tokenizer import Control, decode, encode
from deployments.engine.fake.virtual_model import SYLLABLES

SEED = 0
TOKENS = (60, 180)


def write_prompts(file: Path, count: int) -> None:
    """Every prompt ends with an opened turn of the assistant, so that a fake ends its answer by itself."""
    draw = random.Random(SEED)
    prompts = []
    for number in range(count):
        text = [*encode(f"{number}: "), *draw.choices(SYLLABLES, k=draw.randint(*TOKENS))]
        prompts.append([Control.USER.value, *text, Control.END.value, Control.ASSISTANT.value])
    table = pa.table(
        {
            "input_tokens": pa.array(prompts, pa.list_(pa.int32())),
            "num_tokens": [len(prompt) for prompt in prompts],
            "text_input": [decode(prompt[1:-2]) for prompt in prompts],
            "original_messages": ["[]"] * count,
            "ground_truth": [""] * count,
            "dataset": ["sums"] * count,
        }
    )
    pq.write_table(table, file)
