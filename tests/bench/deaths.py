"""Each part of a fleet on Ray is killed, frozen for good or stopped for a while, under load: what clients see of it.

An open loop of new connections: two streams, then a whole answer. `failed` are refused connections and statuses other
than 200, `cut` streams that break off, `hung` requests without an end within 30 s; `late` ended, but over two seconds
later than they should. `whole again` is when the last request that met any of that was sent, in seconds after the
fault. A gateway process may cost what was on its connections; nothing else may cost anything.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
import requests

from tests.support.gateway_pids import serving_on_ray
from tests.support.own_ray import serving_on_own_ray
from tests.support.process_table import alive, of_session, with_arguments
from tests.support.processes import fake_fleet, fake_pool
from tests.support.ray_processes import actor, processes_of, replicas

RATE = 8.0
BEFORE_S, AFTER_S = 2.0, 28.0
HUNG_S = 30.0
LATE_S = 2.0
TOKENS = 60
STEP_S = 0.015
USUAL_S = TOKENS * STEP_S
MOST_OPEN = 3 * RATE * USUAL_S
"""Requests on the connections of one process at once, with what a busy machine adds."""
RESTORED_S = 120.0
SERVED = "ServeReplica:default:"


@dataclass(frozen=True)
class Death:
    """`whom`: the process, by the gateway's address. `stopped_s`: None is killed; infinite is frozen for good."""

    name: str
    whom: Callable[[str], int]
    stopped_s: float | None = None
    processes: int = 2

    @property
    def carries_connections(self) -> bool:
        """Whether clients' connections end in that process."""
        return self.whom is _gateway and self.stopped_s in (None, FOR_GOOD)


def _gateway(_: str) -> int:
    return max(serving_on_ray())


def _supervisor(_: str) -> int:
    return max(with_arguments("deployments.gateway.supervision.supervisor_process") & of_session())


def _reporter(url: str) -> int:
    return max(with_arguments("deployments.engine.cache_reporter") & of_session())


def _engine(url: str) -> int:
    return processes_of(replicas(url)["a"])[0]


def _served(title: str) -> Callable[[str], int]:
    return lambda _: actor(SERVED + title)


FOR_GOOD = float("inf")
DEATHS = (
    Death("the only gateway process, killed", _gateway, processes=1),
    Death("the only gateway process, frozen", _gateway, FOR_GOOD, processes=1),
    Death("the only gateway process, stopped 5 s", _gateway, 5, processes=1),
    Death("one of two gateway processes, killed", _gateway),
    Death("one of two gateway processes, frozen", _gateway, FOR_GOOD),
    Death("supervisor, killed", _supervisor),
    Death("supervisor, stopped 20 s", _supervisor, 20),
    Death("gateway's actor, killed", _served("gateway")),
    Death("registry, killed", _served("registry")),
    Death("registry, stopped 20 s", _served("registry"), 20),
    Death("controller, killed", lambda _: actor("ServeController")),
    Death("controller, stopped 20 s", lambda _: actor("ServeController"), 20),
    Death("replica's actor, killed", _served("m@a")),
    Death("replica's actor, stopped 20 s", _served("m@a"), 20),
    Death("cache reporter, killed", _reporter),
    Death("engine, killed", _engine),
    Death("engine, stopped 3 s", _engine, 3),
    Death("engine, frozen", _engine, FOR_GOOD),
)


@dataclass
class Seen:
    """What clients saw: outcomes, and when the last request was sent that was not as usual."""

    outcomes: Counter[str] = field(default_factory=Counter)
    late: int = 0
    last_bad: float = 0.0
    problems: list[str] = field(default_factory=list)


def run(deaths: tuple[Death, ...] = DEATHS) -> dict[str, float]:
    figures: dict[str, float] = {}
    print(f"   {'':44}{'requests':>9}{'failed':>8}{'cut':>6}{'hung':>6}{'late':>6}{'whole again':>13}", flush=True)
    for processes in sorted({death.processes for death in deaths}):
        with _fleet(processes) as url:
            for death in deaths:
                if death.processes == processes:
                    seen, faulted = asyncio.run(_observe(url, death))
                    of = seen.outcomes
                    again = max(0.0, seen.last_bad - faulted) if seen.last_bad else 0.0
                    print(
                        f"   {death.name:44}{of.total():9}{of['failed']:8}{of['cut']:6}{of['hung']:6}{seen.late:6}"
                        f"{again:11.1f} s",
                        flush=True,
                    )
                    for problem in seen.problems[:3] if not death.carries_connections else ():
                        print(f"      {problem[:300]}", flush=True)
                    figures[death.name] = of["failed"] + of["cut"] + of["hung"]
                    _until_restored(url)
    return figures


@contextmanager
def _fleet(processes: int) -> Iterator[str]:
    pools = [fake_pool(name, decode_step_s=STEP_S) for name in ("a", "b")]
    with serving_on_own_ray(fake_fleet(*pools, processes=processes), "deaths") as url:
        _until_restored(url)
        yield url


async def _observe(url: str, death: Death) -> tuple[Seen, float]:
    """What was seen, and when the fault was."""
    seen = Seen()
    async with asyncio.TaskGroup() as group:
        load = group.create_task(_load(url, seen))
        await asyncio.sleep(BEFORE_S)
        pid = await asyncio.to_thread(death.whom, url)
        faulted = time.monotonic()
        os.kill(pid, signal.SIGKILL if death.stopped_s is None else signal.SIGSTOP)
        if death.stopped_s is not None and death.stopped_s < FOR_GOOD:
            await asyncio.sleep(death.stopped_s)
            os.kill(pid, signal.SIGCONT)
        await load
    if alive(pid) and death.stopped_s == FOR_GOOD:
        print(f"   {death.name}: nobody has ended it", flush=True)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return seen, faulted


async def _load(url: str, seen: Seen) -> None:
    async with asyncio.TaskGroup() as group:
        due, end = time.monotonic(), time.monotonic() + BEFORE_S + AFTER_S
        number = 0
        while due < end:
            await asyncio.sleep(due - time.monotonic())
            group.create_task(_one(url, seen, number, stream=number % 3 < 2))
            due, number = due + 1 / RATE, number + 1


async def _one(url: str, seen: Seen, number: int, stream: bool) -> None:
    body = {"model": "m", "prompt": f"{number} " * 40, "max_tokens": TOKENS, "ignore_eos": True, "stream": stream}
    sent = time.monotonic()
    connector = aiohttp.TCPConnector(force_close=True)
    outcome = "failed"
    try:
        async with (
            asyncio.timeout(HUNG_S),
            aiohttp.ClientSession(connector=connector) as session,
            session.post(f"{url}/v1/completions", json=body) as answer,
        ):
            if answer.status != 200:
                seen.problems.append(f"{answer.status} {await answer.text()}")
            else:
                outcome = "cut"
                received = await answer.read()
                if not stream or received.endswith(b"data: [DONE]\n\n"):
                    outcome = "whole"
    except TimeoutError:
        outcome = "hung"
    except aiohttp.ClientError as error:
        seen.problems.append(f"{type(error).__name__}: {error}")
    seen.outcomes[outcome] += 1
    late = outcome == "whole" and time.monotonic() - sent > USUAL_S + LATE_S
    seen.late += late
    if late or outcome != "whole":
        seen.last_bad = max(seen.last_bad, sent)


def _until_restored(url: str) -> None:
    """Until both pools have a replica that answers."""
    deadline = time.monotonic() + RESTORED_S
    body = {"model": "m", "prompt": "hello", "max_tokens": 1}
    while True:
        with suppress(requests.RequestException):
            there = set(replicas(url)) == {"a", "b"}
            if there and all(requests.post(f"{url}/v1/completions", json=body, timeout=5).ok for _ in range(4)):
                return
        if time.monotonic() > deadline:
            raise RuntimeError("the fleet does not get whole again")
        time.sleep(0.5)
