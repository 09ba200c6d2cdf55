"""Memory of a gateway and its preparation workers under heavy bodies: growth of PSS for each byte in flight."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import requests

from cluster.fleet import Task
from tests.support.hostile_bodies import CHATS, UPLOADS, HostileBody
from tests.support.processes import fake_engine, fake_fleet, fake_pool, gateway, replica_info

AT_ONCE = 4
"""Clients that each send a body at the same time."""

ROUNDS = 3
EVERY_S = 0.01
NAMES = ("20 MB picture", "1 MB chat", "two million []", "half a million messages", "a gzip bomb")
UPLOAD_NAMES = ("25 MB audio", "a gzip bomb")


def _pss(process: psutil.Process) -> int:
    """Bytes of a process and all below it, each page divided by those that share it."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def _growth(url: str, body: HostileBody, process: psutil.Process) -> float:
    """The most that PSS grows while `AT_ONCE` clients send the body, in bytes for each byte that they send."""
    content = body.make()

    def send() -> int:
        headers = {"Content-Type": "application/json", **body.headers}
        return requests.post(url + body.path, data=content, headers=headers, timeout=120).status_code

    most, over = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.is_set():
            most = max(most, _pss(process))
            time.sleep(EVERY_S)

    with ThreadPoolExecutor(AT_ONCE) as clients:
        list(clients.map(lambda _: send(), range(AT_ONCE)))  # workers have been started, and allocators are warm
        before = _pss(process)
        watcher = threading.Thread(target=watch)
        watcher.start()
        for _ in range(ROUNDS):
            list(clients.map(lambda _: send(), range(AT_ONCE)))
        over.set()
        watcher.join()
    return (most - before) / (AT_ONCE * len(content))


def run() -> dict[str, float]:
    figures: dict[str, float] = {}
    for task, bodies in (
        (Task.CHAT, {name: CHATS[name] for name in NAMES}),
        (Task.TRANSCRIPTION, {name: UPLOADS[name] for name in UPLOAD_NAMES}),
    ):
        pool = fake_pool()
        with fake_engine(pool, task) as engine:
            replicas = [replica_info(engine, pool, task=task, renderer="fake", checkpoint="c")]
            with gateway(fake_fleet(pool, task=task), replicas) as (url, pid):
                for name, body in bodies.items():
                    figures[f"{task}, {name}: PSS per byte"] = _growth(url, body, psutil.Process(pid))
    return figures


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:40} {value:10.3f}")
