"""The embedded data as requests: clips, digits and sums with their right answers."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from loadtest.benchmarks.embedded import raw_data
from loadtest.benchmarks.embedded_digits import digit_png

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Digit:
    png: bytes
    label: int

    def messages(self, question: str = "What digit is this?") -> list[dict[str, Any]]:
        address = "data:image/png;base64," + base64.b64encode(self.png).decode()
        parts = [{"type": "image_url", "image_url": {"url": address}}, {"type": "text", "text": question}]
        return [{"role": "user", "content": parts}]


@cache
def held_out_digits(count: int) -> tuple[Digit, ...]:
    scans = np.loadtxt(raw_data("digits") / "digits.csv.gz", delimiter=",")
    held_out = json.loads((raw_data("digits") / "held_out_idx.json").read_text())[:count]
    return tuple(Digit(digit_png(scans[row][:64]), int(scans[row][64])) for row in held_out)


@cache
def held_out_sums(count: int) -> tuple[tuple[int, int], ...]:
    pairs = json.loads((raw_data("sums") / "held_out_pairs.json").read_text())[:count]
    return tuple((a, b) for a, b in pairs)


@cache
def clips() -> tuple[tuple[Path, str], ...]:
    """The five clips and their transcripts."""
    lines = (raw_data("speech") / "transcription").read_text().splitlines()
    found = [re.match(r"<s>(.*)</s>\s*\((.*)\)", line.strip()) for line in lines]
    return tuple((raw_data("speech") / f"{line[2]}.wav", line[1].strip()) for line in found if line)
