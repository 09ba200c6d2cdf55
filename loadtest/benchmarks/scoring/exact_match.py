"""Exact match of reasoning answers: what a Harmony text answers, and whether that is right, per data set.

Reads answers as MLCommons' language/gpt-oss-120b/eval_accuracy.py does, down to its oddities.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_FINAL = re.compile(r"<\|channel\|>final[^<]*<\|message\|>(.*?)(?:<\|return\|>|$)", re.DOTALL)
_BOLD = re.compile(r"\*\*([^*]+)\*\*")
_BOXED = re.compile(r"\\boxed{\s*(\d+)\s*}")
_ANSWER_NUMBER = re.compile(r"answer:\s*(\d+)(?!\.)\b", re.IGNORECASE)
_LEADING_LETTER = re.compile(r"[^a-zA-Z]*([A-D])(?![a-zA-Z])", re.IGNORECASE)
_ANSWER_LETTER = re.compile(r"\banswer\s*[:.]?\s*([A-D])\b", re.IGNORECASE)
_LATE_LETTER = re.compile(r"\b(?:final\s*)?answer\b\s*[:=]?\s*\(?\s*([A-D])\s*\)?(?:\s*$|(?=[^A-Za-z]))", re.IGNORECASE)
_PYTHON_BLOCK = re.compile(r"```python(.*?)```", re.DOTALL)
_PLAIN_BLOCK = re.compile(r"```(.*?)```", re.DOTALL)
_LANGUAGE = re.compile(r"^(?:python|py)\s*\n", re.IGNORECASE)

LARGEST_AIME_ANSWER = 999


def final_text(harmony: str) -> str:
    """The final channel's text; the whole text where there is no final channel."""
    found = _FINAL.search(harmony.strip())
    return found[1].strip() if found else harmony.strip()


def aime_answer(harmony: str) -> str | None:
    """The last boxed integer of 0 to 999, else the last "Answer: n"."""
    found = _BOXED.findall(harmony) or _ANSWER_NUMBER.findall(harmony)
    try:
        number = int(found[-1])
    except (IndexError, ValueError):  # none, or more digits than Python turns into a number
        return None
    return str(number) if number <= LARGEST_AIME_ANSWER else None


def choice_answer(harmony: str) -> str | None:
    """The letter A to D that the final channel begins with or calls its answer, else the text's last answer."""
    final = _BOLD.sub(r"\1", final_text(harmony))
    if final.startswith(("['", '["')) and final.endswith(("']", '"]')):
        final = final[2:-2].strip()
    final = _unescaped(final)
    found = _LEADING_LETTER.match(final.strip()) or _ANSWER_LETTER.search(final)
    if found:
        return found[1].upper()
    late = _LATE_LETTER.findall(_unescaped(harmony.strip()))
    return late[-1].upper() if late else None


def sum_answer(harmony: str) -> str | None:
    """The final channel, when it is a number and nothing else."""
    final = final_text(harmony)
    return str(int(final)) if re.fullmatch(r"\d{1,9}", final) else None


def code_answer(harmony: str) -> str | None:
    """The last block of Python in the final channel, else its last block of any kind, else those of the whole text."""
    text, final = harmony.strip(), final_text(harmony)
    for part in (final, text):
        if blocks := _PYTHON_BLOCK.findall(part):
            return str(blocks[-1]).strip()
        if blocks := _PLAIN_BLOCK.findall(part):
            return _LANGUAGE.sub("", str(blocks[-1]).strip())
    return None


def _unescaped(text: str) -> str:
    """Line ends and apostrophes that an answer writes as escapes."""
    return text.replace(r"\n", "\n").replace(r"\'", "'")


@dataclass(frozen=True)
class AnswerKind:
    """How a data set's answers are read. `runs_code`: whether what was read is a program, to be tried on tests."""

    read: Callable[[str], str | None]
    runs_code: bool = False

    def right(self, harmony: str, truth: str) -> bool:
        return self.read(harmony) == _plain(truth)


def _plain(truth: str) -> str:
    """A letter in upper case, or a number without leading zeros: a column of numbers reads 73 or 73.0, text 073."""
    number = re.fullmatch(r"\s*(\d+)(?:\.0*)?\s*", truth)
    return str(int(number[1])) if number else truth.upper()


KINDS = {
    "gpqa": AnswerKind(choice_answer),
    "aime": AnswerKind(aime_answer),
    "livecodebench": AnswerKind(code_answer, runs_code=True),
    "sums": AnswerKind(sum_answer),
}
"""Part of a data set's name -> how its answers are judged."""

REPEATS = {"aime25": 8, "gpqa_diamond": 5, "livecodebench_v6": 3}
"""Times that each question stands in the official set: so many right answers weigh as one."""


def answer_kind(dataset: str) -> AnswerKind | None:
    return next((kind for part, kind in KINDS.items() if part in dataset.lower()), None)


def repeats(dataset: str) -> int:
    return REPEATS.get(dataset.lower(), 1)
