"""Word error rate as MLCommons' speech2text/accuracy_eval.py counts it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import jiwer
from whisper_normalizer.english import EnglishTextNormalizer

LONGEST_COMPOUND = 3
"""Words that may have been written as one ("any more" for "anymore") without counting as an error."""


ADDED_BY_THE_PACKAGE = (r"\bkinda\b", r"\bsorta\b", r"\bdunno\b", r"\bcause\b")
"""Replacements of whisper-normalizer (0.1.15) that OpenAI's normaliser does not make."""


@dataclass(frozen=True)
class WordErrors:
    errors: int
    words: int

    @property
    def rate(self) -> float:
        return self.errors / self.words if self.words else 0.0


def word_error_rate(pairs: Iterable[tuple[str, str]]) -> WordErrors:
    """Errors and reference words over (reference, hypothesis) texts, after OpenAI's English normaliser.

    Words are summed over all pairs before dividing, so that long clips weigh more.
    """
    normalise = _normaliser()
    errors = words = 0
    for reference, hypothesis in pairs:
        expected, heard = normalise(reference).split(), normalise(hypothesis).split()
        errors += word_errors(expected, heard)
        words += len(expected)
    return WordErrors(errors, words)


def word_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Edit distance in words; a word against up to three that spell it, met in the same place, is no error.

    The pass that joins compounds is greedy and moves both sides on by one where nothing fits, as the official one
    does: after an insertion it may find no more compounds.
    """
    expected, heard = _join_compounds(reference, hypothesis)
    if not expected or not heard:
        return len(expected) + len(heard)
    measured = jiwer.process_words(" ".join(expected), " ".join(heard))
    return int(measured.substitutions + measured.deletions + measured.insertions)


def _join_compounds(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[list[str], list[str]]:
    expected: list[str] = []
    heard: list[str] = []
    i = j = 0
    while i < len(reference) and j < len(hypothesis):
        taken, given = _match(reference[i : i + LONGEST_COMPOUND], hypothesis[j : j + LONGEST_COMPOUND])
        expected.append("".join(reference[i : i + taken]))
        heard.append("".join(hypothesis[j : j + given]))
        i, j = i + taken, j + given
    return expected + list(reference[i:]), heard + list(hypothesis[j:])


def _match(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[int, int]:
    """How many words of each side stand for the same letters, shortest first; (1, 1) also where none do."""
    if reference[0] == hypothesis[0]:
        return 1, 1
    for count in range(2, LONGEST_COMPOUND + 1):
        if count <= len(reference) and "".join(reference[:count]) == hypothesis[0]:
            return count, 1
        if count <= len(hypothesis) and "".join(hypothesis[:count]) == reference[0]:
            return 1, count
    return 1, 1


@cache
def _normaliser() -> EnglishTextNormalizer:
    """As openai-whisper has it."""
    made = EnglishTextNormalizer()
    for pattern in ADDED_BY_THE_PACKAGE:
        made.replacers.pop(pattern, None)
    return made
