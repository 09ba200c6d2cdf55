"""accuracy.txt: an accuracy in the words that the submission checker reads, and the hash of the log behind it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from cluster.checkpoints.pinned import sha256_of
from loadtest.benchmarks.base import Score

ACCURACY_FILE = "accuracy.txt"
HEADS = {"qwen3-vl": "Results\n\n"}
"""What MLCommons' own scripts write before the value."""


def accuracy_text(benchmark: str, score: Score, log: Path) -> str:
    """Text of accuracy.txt. `log`: the whole mlperf_log_accuracy.json. Raises ValueError where there is no value."""
    words = accuracy_words(benchmark, score)
    return f"{HEADS.get(benchmark, '')}{words}\n\nhash={sha256_of(log)}\n"


def accuracy_words(benchmark: str, score: Score) -> str:
    """The line that the checker's pattern of that benchmark finds. Raises ValueError where there is no value."""
    if score.value is None:
        raise ValueError("an accuracy without a value cannot be told")
    word_errors = score.detail.get("word_error_rate_percent", 100 - score.value)
    told = {
        "whisper": f"Word Error Rate: {_plain(word_errors)}%, accuracy={_plain(score.value)}%",
        "qwen3-vl": f'{{"f1": {_plain(score.value)}}}',
        "gpt-oss": f"'exact_match': {score.value:.3f}",
    }
    return told[benchmark]


def _plain(value: float) -> str:
    """Every digit and no exponent: the checker's patterns would read 1e-05 as 1."""
    return format(Decimal(repr(float(value))), "f")
