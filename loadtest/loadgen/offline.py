"""One Offline test: LoadGen hands over every sample at once and waits until each is answered."""

from __future__ import annotations

import array
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import mlperf_loadgen as lg

from loadtest.loadgen.settings import TestPlan, log_settings, test_settings, user_conf

FEWEST_TOKENS = 2
"""LoadGen divides a latency by tokens - 1."""

COMPLETION_GAP_S = 0.001
"""Between two calls into LoadGen. Some 500 calls in a row with no pause outrun its logger, and the process dies with a
segmentation fault at the end of the test (6.0.17: 660 single completions at once, 5 of 5 runs; with a pause, none)."""

NO_AUDIT = "there-is-no-audit.config"
"""LoadGen obeys a file audit.config in the working folder, which would silently change the test."""

Issue = Callable[[Sequence[int], Sequence[int]], None]
"""Gets the response ids and sample indexes of a query, in the same order."""


def run_offline(plan: TestPlan, folder: Path, issue: Issue) -> None:
    """Runs the test and returns when every sample was answered by `complete`. Blocks; the GIL is free meanwhile.

    Writes user.conf and LoadGen's logs into `folder`. Raises LoadGenError.
    """
    conf = folder / "user.conf"
    conf.write_text(user_conf(plan), encoding="utf-8")
    settings = test_settings(plan, conf)

    def issue_query(samples: Sequence[lg.QuerySample]) -> None:
        issue([sample.id for sample in samples], [sample.index for sample in samples])

    sut = lg.ConstructSUT(issue_query, _nothing)
    # The samples wait in Ray's object store before the test starts, so there is nothing to load or unload.
    qsl = lg.ConstructQSL(plan.samples, plan.samples, _nothing, _nothing)
    try:
        lg.StartTestWithLogSettings(sut, qsl, settings, log_settings(plan, folder), NO_AUDIT)
    finally:
        lg.DestroySUT(sut)
        lg.DestroyQSL(qsl)


def complete(answers: Sequence[tuple[int, bytes, int]]) -> None:
    """Tells LoadGen of answers: (response id, response bytes, tokens). Call from one thread, in batches."""
    buffers = [array.array("B", data) for _, data, _ in answers]
    responses = [
        lg.QuerySampleResponse(response, buffer.buffer_info()[0], len(buffer), max(tokens, FEWEST_TOKENS))
        for (response, _, tokens), buffer in zip(answers, buffers, strict=True)
    ]
    # LoadGen copies what it keeps before this returns, so the buffers need not outlive the call.
    lg.QuerySamplesComplete(responses)
    time.sleep(COMPLETION_GAP_S)


def _nothing(*_: object) -> None:
    pass
