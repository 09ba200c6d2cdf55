"""Whether programs pass a problem's tests, as LiveCodeBench decides it: all of them, each output exactly."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from cluster.progress import Progress
from loadtest.benchmarks.base import DataError
from loadtest.benchmarks.scoring.live_code_bench import HOW_TO_GET, LiveCodeBench, Problem
from loadtest.benchmarks.scoring.sandbox.sandbox import Jail, ProgramFailed, Sandbox
from loadtest.benchmarks.scoring.tally import PASSED

WRONG, NO_CODE = "wrong output", "no code"
MOST_WORKERS = 64

LONGEST_ESCAPE = 12
"""Characters that JSON may need for one."""

SPARE_BYTES = 2**20


@dataclass(frozen=True)
class CodeTests:
    """Tries programs on the tests of their problems, in a sandbox that is open."""

    problems: LiveCodeBench
    sandbox: Sandbox
    workers: int = min(MOST_WORKERS, len(os.sched_getaffinity(0)))

    def outcomes(self, programs: Sequence[tuple[str, str | None]]) -> list[str]:
        """PASSED, or what else came of each (question id, program). A program of None is no program.

        Raises DataError where a question is unknown, SandboxError.
        """
        if unknown := sorted({question for question, _ in programs if question not in self.problems}):
            missing = f"{len(unknown)} of the questions are not among LiveCodeBench's, {unknown[0]} the first"
            raise DataError(f"{missing}; {HOW_TO_GET}")
        by_question: dict[str, list[int]] = {}
        for place, (question, _) in enumerate(programs):
            by_question.setdefault(question, []).append(place)
        found: dict[int, str] = {}
        began = time.monotonic()

        def try_all(question: str) -> Mapping[int, str]:
            problem = self.problems[question]
            return {place: self.outcome(problem, programs[place][1]) for place in by_question[question]}

        pool = ThreadPoolExecutor(self.workers)
        try:
            with Progress("LiveCodeBench", "programs") as progress:
                for done in as_completed([pool.submit(try_all, question) for question in by_question]):
                    found |= done.result()
                    progress.update(len(programs), len(found), time.monotonic() - began)
        except BaseException:
            self.sandbox.stop.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        return [found[place] for place in range(len(programs))]

    def outcome(self, problem: Problem, code: str | None) -> str:
        """What comes of one program. Raises SandboxError."""
        if not code:
            return NO_CODE
        judge = printed_right if problem.function is None else returned_right
        with self.sandbox.jail(len(problem.tests)) as jail:
            try:
                return _passes(jail, problem, code, judge)
            except ProgramFailed as failure:
                return failure.outcome


def _passes(jail: Jail, problem: Problem, code: str, judge: Callable[[str, str], bool]) -> str:
    jail.load(code, problem.function)
    for given, expected in problem.tests:
        if not judge(jail.run(given, LONGEST_ESCAPE * len(expected) + SPARE_BYTES), expected):
            return WRONG
    return PASSED


def printed_right(printed: str, expected: str) -> bool:
    """Line by line: equal but for space around, or numbers of the same value ("1.50" for "1.5", never "1.5000001")."""
    lines, wanted = ([line.strip() for line in text.strip().split("\n")] for text in (printed, expected))
    return len(lines) == len(wanted) and all(map(_same_line, lines, wanted))


def returned_right(returned: str, expected: str) -> bool:
    """Both are JSON. Numbers of the same value are the same, whatever their type."""
    try:
        return bool(json.loads(returned) == json.loads(expected))
    except (ValueError, RecursionError):
        return False


def _same_line(line: str, wanted: str) -> bool:
    if line == wanted:
        return True
    try:
        return [Decimal(word) for word in line.split()] == [Decimal(word) for word in wanted.split()]
    except InvalidOperation:
        return False
