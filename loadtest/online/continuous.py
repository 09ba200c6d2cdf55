"""Speech as it comes in: clips at Poisson times, streamed and then not. MLPerf has no such scenario of Whisper."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from itertools import accumulate
from typing import Any

import aiohttp
import msgspec
import uvloop

from cluster.progress import Progress
from cluster.tables import show
from deployments.http_sessions import endpoint_session
from loadtest.benchmarks.base import Answer, BadReply, Mode
from loadtest.benchmarks.whisper import Clips, Whisper, encode_transcript
from loadtest.client import Call, Outcome, ask
from loadtest.command import Refused, make_room
from loadtest.endpoint import TargetError, bearer, endpoint
from loadtest.interruption import until_interrupted
from loadtest.latency import Quantiles
from loadtest.online.asking import ask_stream
from loadtest.report.page import page
from loadtest.report.text import run_table
from loadtest.report.timeline import read_timeline
from loadtest.results import REPORT, new_run_folder, write_samples, write_summary, write_text
from loadtest.run import Options
from loadtest.summary import latency
from loadtest.target import Target, inspect

LABEL = "continuous speech: not an MLPerf scenario"
SEED = 0
STREAMED, WHOLE = "streamed", "whole answers"

Asked = Callable[[aiohttp.ClientSession, Outcome], Awaitable[Outcome]]


class PlainWhisper(Whisper):
    """Transcriptions that are not streamed."""

    def answer(self, reply: bytes) -> Answer:
        try:
            text = _replies.decode(reply).text
        except msgspec.DecodeError as error:
            raise BadReply(f"the transcription is not of OpenAI's shape: {error}") from None
        return Answer(encode_transcript(text), 0, text.strip())


class _Reply(msgspec.Struct):
    text: str


_replies = msgspec.json.Decoder(_Reply)


def run_continuous(options: Options) -> bool:
    """Asks every clip `passes` times in each way and prints the table; True where all were answered.

    Raises Refused, KeyboardInterrupt.
    """
    whisper = Whisper()
    rate = options.target_qps or (whisper.quick_qps if options.quick else None)
    if rate is None:
        raise Refused("give --target-qps RATE, the clips a second that come in")
    clips = whisper.load(options.data, Mode.PERFORMANCE, whisper.quick_samples if options.quick else None)
    try:
        with endpoint(options.fleet, options.endpoint, mlperf=False) as url:
            target = inspect(url, whisper, options.model, options.foreign, bearer(options.api_key))
            return _run(options, clips, target, rate)
    except TargetError as error:
        raise Refused(str(error)) from error


def _run(options: Options, clips: Clips, target: Target, rate: float) -> bool:
    folder = new_run_folder(options.out, "whisper-continuous")
    order = [index for _ in range(options.passes) for index in range(len(clips))]
    make_room(2 * len(order))
    headers = {"Content-Type": Whisper.content_type, **bearer(options.api_key)}
    call = Call(target.url + Whisper.path, headers, options.timeout_s, options.attempts)
    done: dict[str, list[Outcome]] = {STREAMED: [], WHOLE: []}
    state = "failed"
    try:
        for way, asked in _ways(clips, target, call).items():
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(until_interrupted(_play(way, order, rate, call, asked, done[way])))
        state = "complete"
    except KeyboardInterrupt:
        state = "interrupted"
        raise
    finally:
        outcomes = [outcome for way in done.values() for outcome in way]
        summary = _summary(clips, target, rate, 2 * len(order), done, state)
        write_samples(folder, outcomes, LABEL)
        write_summary(folder, summary)
        write_text(folder / REPORT, page(summary, read_timeline(folder)))
        show(*run_table([summary]))
        print(f"results: {folder}", flush=True)
    return all(outcome.answer for outcome in outcomes)


def _ways(clips: Clips, target: Target, call: Call) -> dict[str, Asked]:
    served, plain, streamed = target.served, PlainWhisper(), Whisper()

    async def ask_streamed(session: aiohttp.ClientSession, outcome: Outcome) -> Outcome:
        body = clips.body(outcome.index, served, Mode.PERFORMANCE, stream=True)
        return await ask_stream(session, call, streamed, outcome, body, lambda _: None)

    async def ask_whole(session: aiohttp.ClientSession, outcome: Outcome) -> Outcome:
        body = clips.plain_body(outcome.index, served)
        answered = await ask(session, call, plain, outcome.place, outcome.index, body)
        answered.due = outcome.due
        return answered

    return {STREAMED: ask_streamed, WHOLE: ask_whole}


async def _play(way: str, order: Sequence[int], rate: float, call: Call, asked: Asked, into: list[Outcome]) -> None:
    random_numbers = random.Random(SEED)
    offsets = [0.0, *accumulate(random_numbers.expovariate(rate) for _ in order[1:])]
    began = time.time()
    with Progress(f"whisper {way}", "clips") as progress:

        async def one(place: int, index: int, due: float) -> None:
            into.append(await asked(session, Outcome(place, index, due, due, 0, due=due)))
            progress.update(len(order), len(into), time.time() - began)

        async with (
            endpoint_session(call.url, call.headers, connector=aiohttp.TCPConnector(limit=0)) as session,
            asyncio.TaskGroup() as asking,
        ):
            for place, (index, offset) in enumerate(zip(order, offsets, strict=True)):
                while (early := began + offset - time.time()) > 0:  # noqa: ASYNC110  # it is time that is waited for
                    await asyncio.sleep(early)
                asking.create_task(one(place, index, began + offset))


def _summary(
    clips: Clips, target: Target, rate: float, planned: int, done: dict[str, list[Outcome]], state: str
) -> dict[str, Any]:
    every = [outcome for outcomes in done.values() for outcome in outcomes]
    answered = [outcome for outcome in every if outcome.answer]
    failed = [outcome for outcome in every if not outcome.answer]
    seconds = sum(max(o.finished for o in way) - min(o.due for o in way) for way in done.values() if way)
    audio = sum(clips.clips[outcome.index].seconds for outcome in answered)
    return {
        "label": LABEL,
        "state": state,
        "benchmark": "whisper",
        "scenario": "Continuous",
        "mode": "performance",
        "target_qps": rate,
        "arrivals": "Poisson",
        "seed": SEED,
        "data_set": {"description": clips.description, "embedded": clips.embedded, "samples": len(clips)},
        "samples_issued": planned,
        "samples_answered": len(answered),
        "samples_failed": len(failed),
        "seconds": seconds,
        "metric": "audio s/s",
        "value": audio / seconds if seconds > 0 else None,
        "ways": {way: _figures(clips, outcomes) for way, outcomes in done.items() if outcomes},
        "reasons": [f"{len(failed)} clips were not answered, the first with: {failed[0].error}"] if failed else [],
        "answered_by_pool": dict(Counter(outcome.pool for outcome in every if outcome.pool)),
        "endpoint": target.url,
        "model": target.served.name,
        "checkpoint": target.checkpoint,
        "revision": target.revision,
        "caches": target.caches,
        "fleet": target.fleet,
    }


def _figures(clips: Clips, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """`real_time_factor`: seconds from a clip's arrival to its whole answer, over the clip's own seconds."""
    answered = [outcome for outcome in outcomes if outcome.answer]
    factors = Quantiles.of((o.finished - o.due) / clips.clips[o.index].seconds for o in answered)
    score = clips.score({o.index: o.answer.data for o in answered if o.answer}) if answered else None
    return {
        **latency(outcomes),
        "real_time_factor": asdict(factors) if factors else None,
        "accuracy": asdict(score) if score else None,
    }
