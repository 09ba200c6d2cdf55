"""Exact match of reasoning answers: what a Harmony text answers, and whether that is right, per data set."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_FINAL = re.compile(r"<\|channel\|>final[^<]*<\|message\|>(.*?)(?:<\|return\|>|$)", re.DOTALL)
_BOXED = re.compile(r"\\boxed{\s*(\d+)\s*}")
_ANSWER_NUMBER = re.compile(r"answer:\s*(\d+)(?!\.)\b", re.IGNORECASE)
_LEADING_LETTER = re.compile(r"[^a-zA-Z]*([A-D])(?![a-zA-Z])", re.IGNORECASE)
_ANSWER_LETTER = re.compile(r"\banswer\s*[:.]?\s*([A-D])\b", re.IGNORECASE)
_LATE_LETTER = re.compile(r"\b(?:final\s*)?answer\b\s*[:=]?\s*\(?\s*([A-D])\s*\)?(?:\s*$|(?=[^A-Za-z]))", re.IGNORECASE)


def final_text(harmony: str) -> str:
    """The final channel's text; the whole text where there is no final channel."""
    found = _FINAL.search(harmony)
    return found[1].strip() if found else harmony.strip()


def aime_answer(harmony: str) -> str | None:
    """The last boxed integer of 0 to 999, else the last "Answer: n"."""
    found = _BOXED.findall(harmony) or _ANSWER_NUMBER.findall(harmony)
    return str(int(found[-1])) if found and int(found[-1]) <= 999 else None


def choice_answer(harmony: str) -> str | None:
    """The letter A to D that the final channel begins with or calls its answer, else the text's last answer."""
    final = final_text(harmony).replace("**", "")
    found = _LEADING_LETTER.match(final) or _ANSWER_LETTER.search(final)
    if found:
        return found[1].upper()
    late = _LATE_LETTER.findall(harmony)
    return late[-1].upper() if late else None


def sum_answer(harmony: str) -> str | None:
    """The final channel, when it is a number and nothing else."""
    final = final_text(harmony)
    return str(int(final)) if re.fullmatch(r"\d{1,9}", final) else None


@dataclass(frozen=True)
class AnswerKind:
    """How a data set's answers are read. `repeats`: times that each question stands in the official set."""

    read: Callable[[str], str | None]
    repeats: int = 1

    def right(self, harmony: str, truth: str) -> bool:
        return self.read(harmony) == _plain(truth)


def _plain(truth: str) -> str:
    """A letter in upper case, or a number without leading zeros: data sets write 73 as 73, 073 or 73.0."""
    text = truth.strip().upper()
    return str(int(float(text))) if re.fullmatch(r"\d+(\.0*)?", text) else text


KINDS = {
    "aime25": AnswerKind(aime_answer, repeats=8),
    "gpqa": AnswerKind(choice_answer, repeats=5),
    "sums": AnswerKind(sum_answer),
}
"""Begin of a data set's name -> how its answers are judged. LiveCodeBench runs the model's code: its own tool does."""


def answer_kind(dataset: str) -> AnswerKind | None:
    return next((kind for start, kind in KINDS.items() if dataset.lower().startswith(start)), None)
