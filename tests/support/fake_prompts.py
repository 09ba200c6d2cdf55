"""GPT-OSS prompts for fake engines, in MLCommons' parquet format and in the fakes' own token ids."""

from __future__ import annotations

import random
from array import array
from pathlib import Path

from deployments.engine.fake.tokenizer import Control, decode, encode
from deployments.engine.fake.virtual_model import SYLLABLES
from loadtest.benchmarks import prompt_file
from loadtest.benchmarks.prompt_file import PromptRow

SEED = 0
TOKENS = (60, 180)


def write_prompts(file: Path, count: int) -> None:
    """Every prompt ends with an opened turn of the assistant, so that a fake ends its answer by itself."""
    draw = random.Random(SEED)
    rows = []
    for number in range(count):
        text = [*encode(f"{number}: "), *draw.choices(SYLLABLES, k=draw.randint(*TOKENS))]
        ids = array("i", [Control.USER.value, *text, Control.END.value, Control.ASSISTANT.value])
        rows.append(PromptRow(ids, truth="", dataset="sums", text=decode(text)))
    prompt_file.write_prompts(file, rows)
