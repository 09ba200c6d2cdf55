"""One LoadGen test: it hands over samples, all at once or on its own schedule, and waits until each is answered."""

from __future__ import annotations

import array
from collections.abc import Callable, Sequence
from pathlib import Path

import mlperf_loadgen as lg

from loadtest.compliance.audit import AUDIT_CONFIG
from loadtest.loadgen.settings import TestPlan, log_settings, test_settings, user_conf
from loadtest.results import write_text

FEWEST_TOKENS = 2
"""LoadGen divides a latency by tokens - 1."""

COMPLETION_GAP_S = 0.001
"""Between two calls into LoadGen. Some 500 calls in a row with no pause outrun its logger, and the process dies with a
segmentation fault at the end of the test (6.0.17: 660 single completions at once, 5 of 5 runs; with a pause, none)."""

NO_AUDIT = "there-is-no-audit.config"
"""LoadGen obeys a file audit.config in the working folder, which would silently change the test."""

USER_CONF = "user.conf"

Issue = Callable[[Sequence[int], Sequence[int]], None]
"""Gets the response ids and sample indexes of a query, in the same order."""

Reported = tuple[int, bytes, int]
"""Response id, response bytes, tokens."""


def run_loadgen(plan: TestPlan, folder: Path, issue: Issue) -> None:
    """Runs the test and returns when every sample was answered by `complete`. Blocks; the GIL is free meanwhile.

    Writes user.conf, audit.config of a compliance test, and LoadGen's logs into `folder`. Raises LoadGenError.
    """
    conf, audit = folder / USER_CONF, folder / NO_AUDIT
    write_text(conf, user_conf(plan))
    if plan.audit is not None:
        audit = folder / AUDIT_CONFIG
        write_text(audit, plan.audit.config(plan.samples))
    settings = test_settings(plan, conf)
    sut = lg.ConstructFastSUT(issue, _nothing)
    # The samples wait in memory before the test starts, so there is nothing to load or unload.
    qsl = lg.ConstructQSL(plan.samples, plan.samples, _nothing, _nothing)
    try:
        lg.StartTestWithLogSettings(sut, qsl, settings, log_settings(plan, folder), str(audit))
    finally:
        lg.DestroyFastSUT(sut)
        lg.DestroyQSL(qsl)


def complete(answers: Sequence[Reported]) -> None:
    """Tells LoadGen of answers. Call in batches, COMPLETION_GAP_S apart from any other call."""
    _report(
        lg.QuerySamplesComplete, [(response, data, max(tokens, FEWEST_TOKENS)) for response, data, tokens in answers]
    )


def first_tokens(answers: Sequence[tuple[int, bytes]]) -> None:
    """Tells LoadGen of first tokens: response id, bytes. As `complete`, and before it."""
    _report(lg.FirstTokenComplete, [(response, data, 1) for response, data in answers])


def _report(call: Callable[[list[lg.QuerySampleResponse]], None], answers: Sequence[Reported]) -> None:
    buffers = [array.array("B", data) for _, data, _ in answers]
    # LoadGen copies what it keeps before the call returns, so the buffers need not outlive it.
    call(
        [
            lg.QuerySampleResponse(response, buffer.buffer_info()[0], len(buffer), tokens)
            for (response, _, tokens), buffer in zip(answers, buffers, strict=True)
        ]
    )


def _nothing(*_: object) -> None:
    pass
