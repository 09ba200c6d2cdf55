from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.accuracy_file import accuracy_text, accuracy_words
from loadtest.benchmarks.base import Score

PATTERNS = {
    "whisper": r"Word Error Rate\:.*, accuracy=([0-9\.]+)%",
    "qwen3-vl": r'\{.*"f1":\s*([\d\.]+).*\}',
    "gpt-oss": r".*'exact_match':\s([\d.]+).*",
}
"""ACC_PATTERN of MLCommons' submission checker, which looks for them at the begin of each line."""


def read_as_the_checker_does(name: str, text: str) -> tuple[str, str]:
    """Value and hash."""
    lines = text.splitlines()
    (value,) = [found[1] for line in lines if (found := re.match(PATTERNS[name], line))]
    (digest,) = [found[1] for line in lines if (found := re.match(r"^hash=([\w\d]+)$", line))]
    return value, digest


@pytest.mark.parametrize(
    ("name", "score", "text"),
    [
        (
            "whisper",
            Score("100 - word error rate", 97.9329, "%", {"word_error_rate_percent": 2.0671}),
            "Word Error Rate: 2.0671%, accuracy=97.9329%\n\nhash={}\n",
        ),
        ("qwen3-vl", Score("f1", 0.7903037, ""), 'Results\n\n{{"f1": 0.7903037}}\n\nhash={}\n'),
        ("gpt-oss", Score("exact match", 83.13, "%"), "'exact_match': 83.130\n\nhash={}\n"),
    ],
)
def test_the_reference_values(name: str, score: Score, text: str, tmp_path: Path) -> None:
    log = tmp_path / "mlperf_log_accuracy.json"
    log.write_text("[]")
    assert accuracy_text(name, score, log) == text.format(hashlib.sha256(b"[]").hexdigest())


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs") / "mlperf_log_accuracy.json"


@given(name=st.sampled_from(sorted(PATTERNS)), share=st.floats(0, 1), log=st.binary(max_size=50))
def test_the_checker_reads_the_value_and_the_hash(file: Path, name: str, share: float, log: bytes) -> None:
    value = share if name == "qwen3-vl" else 100 * share
    file.write_bytes(log)
    text = accuracy_text(name, Score("m", value, ""), file)
    read, digest = read_as_the_checker_does(name, text)
    assert digest == hashlib.sha256(log).hexdigest()
    if name == "gpt-oss":
        assert float(read) == pytest.approx(value, abs=5e-4)
    else:
        assert float(read) == value


def test_more_errors_than_words_are_no_accuracy() -> None:
    assert re.match(PATTERNS["whisper"], accuracy_words("whisper", Score("m", -20.0, "%"))) is None


def test_no_value_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without a value"):
        accuracy_text("gpt-oss", Score("m", None, "%"), tmp_path)
