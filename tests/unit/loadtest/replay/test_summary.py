from __future__ import annotations

import math
from typing import Any

from cluster.tables import plain
from loadtest.latency import Slo
from loadtest.replay.client import Reply
from loadtest.replay.contents import Contents
from loadtest.replay.jobs import Job, Plan
from loadtest.replay.player import Outcome, Played
from loadtest.replay.routes.completions import Completions
from loadtest.replay.summary import Judged, summarise
from loadtest.replay.tables import report_page, report_parts
from loadtest.replay.target import Model, Target
from loadtest.report.text import run_table
from loadtest.traces.trace import Trace, TraceRequest

MODEL = Model("m", ("m",), "chat", 1024, {"a1": "a", "b1": "b", "b2": "b"})


def job(number: int, at_s: float, cut: bool = False) -> Job:
    return Job(number, TraceRequest(at_s, 100, 11), MODEL, Completions(), cut)


def answer(one: Job, replica: str, ttft: float = 0.5, late: float = 0.0, **changes: Any) -> Outcome:
    first = one.request.at_s + ttft
    reply = Reply(first, first + 0.5, 11, 100, 11, 50, replica, MODEL.replicas.get(replica, ""))
    for name, value in changes.items():
        setattr(reply, name, value)
    return Outcome(one, one.request.at_s + late, reply)


def summary(outcomes: list[Outcome], jobs: list[Job], state: str = "complete", **plan: Any) -> dict[str, Any]:
    played = Played(outcomes, issued=len(jobs), seconds=4.0)
    made = Plan(Target("http://fleet", (MODEL,), "on"), {}, Contents(0), **plan)
    trace = Trace("t", tuple(one.request for one in jobs))
    return summarise(made, trace, jobs, played, Judged(Slo()), state)


def test_figures_by_pool_and_replica() -> None:
    jobs = [job(number, float(number)) for number in range(4)]
    outcomes = [answer(jobs[0], "a1"), answer(jobs[1], "b1", ttft=3.0), answer(jobs[2], "b1")]
    refused = Outcome(jobs[3], 3.0, Reply(math.nan, 3.1, replica="", pool="", failure="429", detail="busy"))
    told = summary([*outcomes, refused], jobs)
    assert (told["state"], told["samples_answered"], told["samples_failed"]) == ("complete", 3, 1)
    pools = told["by_model"]["m"]
    assert list(pools) == ["all", "a", "b"]
    assert [pools[pool]["requests"] for pool in pools] == [4, 1, 2]
    assert [pools[pool]["goodput_per_s"] for pool in pools] == [0.5, 0.25, 0.25]
    assert pools["all"]["token_hit_rate"] == 0.5
    assert told["replicas"]["m"] == {"answers": {"a1": 1, "b1": 2, "b2": 0}, "imbalance": 2.0}
    assert told["failures"] == {"429": 1}
    assert told["value"] == 0.5
    assert "the first failure: 429: busy" in told["reasons"]


def test_what_was_late_counts_as_waited() -> None:
    one = job(0, 0.0)
    told = summary([answer(one, "a1", ttft=1.0, late=0.7)], [one])
    assert told["latencies"]["ttft_s"]["p50"] == 1.0
    assert told["lateness_s"]["p99"] == 0.7
    assert any("this client was too slow" in reason for reason in told["reasons"])


def test_what_a_reader_must_know() -> None:
    jobs = [job(0, 0.0, cut=True), job(1, 1.0)]
    played = summary([answer(jobs[0], "a1", output_tokens=None)], jobs, "interrupted", scale=0.25)
    assert played["state"] == "partial (interrupted)"
    assert "partial" in played["label"]
    assert played["reasons"] == [
        "lengths of text and pictures are 0.25 times those of the trace",
        "1 of 2 requests are cut to their model's context",
        "1 answers told no usage: their tokens are counted by events",
    ]


def test_nothing_answered_is_a_summary_too() -> None:
    told = summary([], [job(0, 0.0)], "interrupted")
    assert told["value"] == 0.0
    assert told["lateness_s"] is None
    assert "partial" in report_page(told)


def test_tables_show_every_pool_and_are_rows_of_the_common_table() -> None:
    jobs = [job(0, 0.0), job(1, 1.0)]
    told = summary([answer(jobs[0], "a1"), answer(jobs[1], "b1", failure="<cut>", detail="<b>")], jobs)
    text = plain(report_parts(told))
    assert "0.500 / 0.500 / 0.500" in text
    assert "50.0 / 50.0 / 50.0" in text
    assert "b2" in text
    drawn = report_page(told)
    assert "&lt;cut&gt;" in drawn
    assert "<cut>" not in drawn
    assert "replay" in plain(run_table([told]))
