"""A small download of GPT-OSS's data: performance, accuracy and compliance prompts, and the code questions' tests."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loadtest.benchmarks.harmony import harmony_text, prompt_ids
from loadtest.benchmarks.prompt_file import PromptRow, write_prompts
from loadtest.benchmarks.scoring.exact_match import repeats
from loadtest.data.official import OFFICIAL, Kind
from loadtest.data.small.code_problems import PROBLEMS, problem_line

NEXT = """try it: mixfleet offline --benchmark gpt-oss --quick --data {out}
its code questions' tests: {out}/livecodebench/test.jsonl"""

DATE = "2026-01-31"
Render = Callable[[str, str], tuple[list[int], str]]
"""Token ids and text of a prompt, from reasoning effort and question."""


@dataclass(frozen=True)
class Question:
    dataset: str
    text: str
    truth: str


ABSTRACTS = {
    "Forty patients with mild asthma breathed through the nose or the mouth while walking. Peak flow fell in both "
    "groups, and by half as much in those who breathed through the nose.": "Breathing by the nose halves the loss.",
    "We counted bees on 12 meadows over three summers. Meadows that were mown late had twice as many species.": (
        "Mowing late doubles the species of bees."
    ),
    "A cohort of 900 nurses was followed for ten years. Night shifts and back pain went together until age was taken "
    "into account.": "Night shifts do not explain back pain once age is considered.",
}
SUMMARISE = "Summarise this study in one sentence.\n\n{abstract}"

NUMBERS = {
    "How many positive integers below 100 are divisible by 7?": "14",
    "What is the remainder of 2^10 divided by 1000?": "24",
}
BOXED = "{question} Put the answer, an integer from 0 to 999, into \\boxed{{}}."

CHOICES = {
    "Which particle carries the electromagnetic force?\n(A) gluon\n(B) photon\n(C) W boson\n(D) graviton": "B",
    "Which of these is a noble gas?\n(A) nitrogen\n(B) chlorine\n(C) oxygen\n(D) argon": "D",
    "What does a ribosome make?\n(A) proteins\n(B) lipids\n(C) sugars\n(D) DNA": "A",
}
LETTER = "{question}\nAnswer with the letter alone."


def write(folder: Path) -> None:
    write_download(folder, _harmony)


def write_download(folder: Path, render: Render) -> None:
    """The files of MLCommons' download, in its folders."""
    choices = [Question("gpqa_diamond", LETTER.format(question=text), truth) for text, truth in CHOICES.items()]
    numbers = [Question("aime25", BOXED.format(question=text), truth) for text, truth in NUMBERS.items()]
    programs = [Question("livecodebench_v6", problem.text, problem.id) for problem in PROBLEMS]
    studies = [
        Question("pubmed_summarization", SUMMARISE.format(abstract=text), truth) for text, truth in ABSTRACTS.items()
    ]
    for kind, effort, questions in (
        (Kind.PERFORMANCE, "low", studies),
        (Kind.ACCURACY, "high", numbers + choices + programs),
        (Kind.COMPLIANCE, "high", choices),
    ):
        file = folder / OFFICIAL["gpt-oss"][kind].file
        file.parent.mkdir(exist_ok=True)
        write_prompts(file, [_row(one, effort, render) for one in questions for _ in range(repeats(one.dataset))])
    problems = folder / "livecodebench" / "test.jsonl"
    problems.parent.mkdir()
    problems.write_text("".join(f"{problem_line(problem)}\n" for problem in PROBLEMS), encoding="utf-8")


def _row(question: Question, effort: str, render: Render) -> PromptRow:
    ids, text = render(effort, question.text)
    return PromptRow(array("i", ids), question.truth, question.dataset, text, question.text)


def _harmony(effort: str, question: str) -> tuple[list[int], str]:
    ids = prompt_ids(effort, DATE, question)
    return ids, harmony_text(ids)
