"""What one client's heavy body costs everyone else: p99 of small requests while it is under way, and without it."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import requests

from cluster.checkpoints import resolve
from cluster.fleet import Task
from tests.support.hostile_bodies import CHAT, CHATS, UPLOADS, HostileBody
from tests.support.processes import fake_engine, fake_fleet, fake_pool, gateway, replica_info

ROUNDS, WINDOW_S, EVERY_S = 5, 2.0, 0.005
SMALL = "alias"
"""The model of the small requests, which has an engine of its own."""


@contextmanager
def sending(url: str, body: HostileBody) -> Iterator[list[int]]:
    """Sends a body again and again in the background. Yields the statuses of the answers."""
    over, statuses, content = threading.Event(), [], body.make()

    def send() -> None:
        while not over.is_set():
            statuses.append(requests.post(url + body.path, data=content, headers=body.headers, timeout=120).status_code)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()


def _p99_ms(url: str) -> float:
    body = {"model": SMALL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}
    seconds = []
    with requests.Session() as session:
        until = time.perf_counter() + WINDOW_S
        while (started := time.perf_counter()) < until or len(seconds) < 20:
            assert session.post(url + CHAT, json=body, timeout=120).status_code == 200
            seconds.append(time.perf_counter() - started)
            time.sleep(EVERY_S)
    return sorted(seconds)[int(len(seconds) * 0.99)] * 1e3


def run() -> dict[str, float]:
    figures: dict[str, float] = {}
    for task, bodies in ((Task.CHAT, CHATS), (Task.TRANSCRIPTION, UPLOADS)):
        figures |= _added(task, bodies)
    return figures


def _added(task: Task, bodies: Mapping[str, HostileBody]) -> dict[str, float]:
    """With a heavy model of this task beside the small one."""
    pool, small_pool = fake_pool(), fake_pool()
    heavy, small = (fake_fleet(pool, task=each).models[0] for each in (task, Task.CHAT))
    models = [model.model_copy(update={"name": name, "aliases": []}) for model, name in ((heavy, "m"), (small, SMALL))]
    fleet = fake_fleet(pool).model_copy(update={"models": models})
    renderer = {"renderer": "harmony", "checkpoint": resolve("tiny-gpt-oss-sums").path} if task == Task.CHAT else {}
    figures: dict[str, float] = {}
    with fake_engine(pool, task) as heavy_engine, fake_engine(small_pool) as small_engine:
        replicas = [
            replica_info(heavy_engine, pool, task=task, aliases=(), **renderer),
            replica_info(small_engine, small_pool, model=SMALL, aliases=()),
        ]
        with gateway(fleet, replicas) as (url, _):
            for name, body in bodies.items():
                added = []
                for _ in range(ROUNDS):
                    without = _p99_ms(url)
                    with sending(url, body) as statuses:
                        added.append(_p99_ms(url) - without)
                figures[f"{task}, {name}: p99 added, ms"] = statistics.median(added)
                figures[f"{task}, {name}: last status"] = statuses[-1]
    return figures


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:60} {value:10.3f}")
