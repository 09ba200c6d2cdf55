"""One replay from options to a results folder."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import uvloop

from cluster.checkpoints import CheckpointError
from cluster.loading import FleetError
from cluster.progress import Progress
from cluster.tables import show
from loadtest.command import Refused, make_room
from loadtest.endpoint import TargetError, bearer, endpoint
from loadtest.interruption import until_interrupted
from loadtest.latency import Slo
from loadtest.replay.contents import Contents
from loadtest.replay.jobs import Plan, Workshop
from loadtest.replay.player import Outcome, Played, play
from loadtest.replay.summary import Judged, summarise
from loadtest.replay.tables import report_page, report_parts
from loadtest.replay.target import inspect
from loadtest.report.timeline import read_timeline
from loadtest.results import REPORT, atomically, new_run_folder, write_summary, write_text
from loadtest.traces.loading import brief, load_trace
from loadtest.traces.trace import Trace, TraceError, merged

REQUESTS = "requests.parquet"
LONGEST_NAME = 40


@dataclass(frozen=True)
class Options:
    """What `python -m loadtest.replay` was told; see its --help."""

    traces: tuple[str, ...]
    fleet: str | None = None
    endpoint: str | None = None
    api_key: str | None = None
    model: str | None = None
    route: str = "completions"
    whole_answers: bool = True
    scale: float = 1.0
    start: int = 0
    count: int | None = None
    speed: float = 1.0
    rate: float | None = None
    seed: int = 0
    max_in_flight: int = 4096
    timeout_s: float = 600.0
    out: Path = Path("results")
    judged: Judged = field(default_factory=lambda: Judged(Slo()))


def run(options: Options) -> bool:
    """Replays and prints the tables; True where something was answered. Raises Refused, KeyboardInterrupt."""
    try:
        trace = chosen(options)
        make_room(min(options.max_in_flight, len(trace)))
        with endpoint(options.fleet, options.endpoint, mlperf=False) as url:
            headers = bearer(options.api_key)
            plan = Plan(
                target=inspect(url, headers),
                headers=headers,
                contents=Contents(options.seed),
                default_model=options.model,
                text_route=options.route,
                scale=options.scale,
                whole_answers=options.whole_answers,
                timeout_s=options.timeout_s,
            )
            return _replay(options, plan, trace)
    except (TraceError, TargetError, FleetError, CheckpointError) as error:
        raise Refused(str(error)) from error


def chosen(options: Options) -> Trace:
    """The trace, or the mix of traces, that is replayed. Raises TraceError."""
    traces = [load_trace(named, options.seed + number) for number, named in enumerate(options.traces)]
    name = " + ".join(map(brief, options.traces))
    trace = Trace(name, traces[0].requests) if len(traces) == 1 else merged(name, traces)
    left = max(1, len(trace) - options.start)
    trace = trace.window(options.start, left if options.count is None else min(options.count, left))
    return trace.at_rate(options.rate) if options.rate else trace.scaled(options.speed)


def _replay(options: Options, plan: Plan, trace: Trace) -> bool:
    workshop = Workshop(plan)
    jobs = list(workshop.jobs(trace))
    played = Played()
    folder = new_run_folder(options.out, f"replay-{_short(trace.name)}")
    state = "failed"
    try:
        with (
            Progress("replay", "requests") as progress,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            asked = (plan.target.url, plan.headers, options.max_in_flight)
            runner.run(until_interrupted(play(jobs, workshop.sending, *asked, played, progress)))
        state = "complete"
    except KeyboardInterrupt:
        state = "interrupted"
        raise
    finally:
        summary = summarise(plan, trace, jobs, played, options.judged, state) | {"traces": list(options.traces)}
        write_requests(folder / REQUESTS, played.outcomes, summary["label"])
        write_summary(folder, summary)
        write_text(folder / REPORT, report_page(summary, read_timeline(folder)))
        show(*report_parts(summary))
        print(f"results: {folder}", flush=True)
    return bool(summary["samples_answered"])


def write_requests(file: Path, outcomes: list[Outcome], label: str) -> None:
    """A row per request that came to an end, in the order of the trace. Times in seconds since the replay began."""
    ordered = sorted(outcomes, key=lambda outcome: outcome.job.number)
    rows = [_row(outcome) for outcome in ordered]
    table = pa.Table.from_pylist(rows, schema=_SCHEMA.with_metadata({"label": label}))
    atomically(file, lambda path: pq.write_table(table, path))


_SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("model", pa.string()),
        ("route", pa.string()),
        ("session", pa.string()),
        ("due_s", pa.float64()),
        ("sent_s", pa.float64()),
        ("first_token_s", pa.float64()),
        ("end_s", pa.float64()),
        ("asked_input_tokens", pa.int64()),
        ("asked_output_tokens", pa.int64()),
        ("images", pa.int32()),
        ("audio_s", pa.float64()),
        ("input_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("cached_tokens", pa.int64()),
        ("pool", pa.string()),
        ("replica", pa.string()),
        ("failure", pa.string()),
        ("detail", pa.string()),
    ]
)


def _row(outcome: Outcome) -> dict[str, object]:
    job, reply, timing = outcome.job, outcome.reply, outcome.timing
    return {
        "number": job.number,
        "model": job.model.name,
        "route": job.route.path,
        "session": job.request.session,
        "due_s": timing.at_s,
        "sent_s": outcome.sent_s,
        "first_token_s": timing.first_token_s,
        "end_s": timing.end_s,
        "asked_input_tokens": job.request.input_tokens,
        "asked_output_tokens": job.request.output_tokens,
        "images": len(job.request.images),
        "audio_s": job.request.audio_s,
        "input_tokens": reply.input_tokens,
        "output_tokens": timing.output_tokens,
        "cached_tokens": reply.cached_tokens,
        "pool": reply.pool,
        "replica": reply.replica,
        "failure": reply.failure or None,
        "detail": reply.detail or None,
    }


def _short(name: str) -> str:
    """Fit for a folder's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:LONGEST_NAME].strip("-.")
