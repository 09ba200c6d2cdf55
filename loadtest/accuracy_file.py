"""accuracy.txt: an accuracy in the words that the submission checker reads, and the hash of the log behind it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from loadtest.benchmarks.base import Score

ACCURACY_FILE = "accuracy.txt"


def accuracy_text(benchmark: str, score: Score, log: Path) -> str:
    """Text of accuracy.txt. `log`: the whole mlperf_log_accuracy.json. Raises ValueError where there is no value."""
    return f"{accuracy_words(benchmark, score)}\n\nhash={hashlib.sha256(log.read_bytes()).hexdigest()}\n"


def accuracy_words(benchmark: str, score: Score) -> str:
    """The line that the checker's pattern of that benchmark finds. Raises ValueError where there is no value."""
    if score.value is None:
        raise ValueError("an accuracy without a value cannot be told")
    told = {
        "whisper": f"Word Error Rate: {100 - score.value:.4f}%, accuracy={score.value:.4f}%",
        "qwen3-vl": json.dumps({"f1": score.value}),
        "gpt-oss": str({"exact_match": round(score.value, 3)}),
    }
    return told[benchmark]
