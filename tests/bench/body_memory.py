"""Memory of a gateway and its preparation workers under heavy bodies: growth of PSS for each byte in flight."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import requests

from cluster.checkpoints import resolve
from cluster.fleet import Gateway, Task
from deployments.gateway.preparation.bodies.encoding import most_decoded
from tests.support.hostile_bodies import CHAT, CHATS, SPEECH, UPLOADS, HostileBody
from tests.support.processes import fake_engine, fake_fleet, fake_pool, gateway, replica_info

AT_ONCE = 4
"""Clients that each send a body at the same time."""

MOST_BYTES = {CHAT: Gateway().max_json_bytes, SPEECH: Gateway().max_upload_bytes}
ROUNDS = 3
EVERY_S = 0.01
LONG_CHAT = "1 MB chat"
NAMES = ("20 MB picture", LONG_CHAT, "two million []", "half a million messages", "a gzip bomb")
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
    """The most that PSS grows while `AT_ONCE` clients send the body, in bytes for each byte in flight.

    Of a compressed body it is what it may become, as the gateway's budget counts it.
    """
    content = body.make()
    held = len(content) if "Content-Encoding" not in body.headers else most_decoded(len(content), MOST_BYTES[body.path])

    def send() -> None:
        headers = {"Content-Type": "application/json", **body.headers}
        answer = requests.post(url + body.path, data=content, headers=headers, timeout=120)
        assert answer.status_code in (200, 400, 413), answer.text

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
    return (most - before) / (AT_ONCE * held)


def run() -> dict[str, float]:
    figures: dict[str, float] = {}
    for task, renderer, checkpoint, bodies in (
        (Task.CHAT, "harmony", "tiny-gpt-oss-sums", {name: CHATS[name] for name in NAMES}),
        (Task.CHAT, "template", "tiny-qwen3vl-digits", {LONG_CHAT: CHATS[LONG_CHAT]}),
        (Task.TRANSCRIPTION, "", "whisper-base", {name: UPLOADS[name] for name in UPLOAD_NAMES}),
    ):
        pool = fake_pool()
        with fake_engine(pool, task) as engine:
            path = resolve(checkpoint).path if renderer else checkpoint
            replicas = [replica_info(engine, pool, task=task, renderer=renderer, checkpoint=path)]
            with gateway(fake_fleet(pool, task=task), replicas) as (url, pid):
                for name, body in bodies.items():
                    figures[f"{checkpoint}, {name}: PSS per byte"] = _growth(url, body, psutil.Process(pid))
    return figures


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:60} {value:10.3f}")
