"""What one client's heavy body costs everyone else: p99 of small requests while it is under way, and without it."""

from __future__ import annotations

import base64
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import requests

from cluster.checkpoints import resolve
from tests.support.processes import announcement, fake_engine, fake_fleet, fake_pool, gateway

ROUNDS, WINDOW_S, EVERY_S = 5, 2.0, 0.005
CHAT = "/v1/chat/completions"
SMALL = "alias"
"""The model of the small requests, which has an engine of its own."""


def _chat(content: object, **further: object) -> bytes:
    return json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": content}], "max_tokens": 1, **further}
    ).encode()


def _picture(size: int) -> bytes:
    url = "data:image/png;base64," + base64.b64encode(bytes(size)).decode()
    return _chat([{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "what is it?"}])


BODIES: dict[str, Callable[[], bytes]] = {
    "20 MB picture": lambda: _picture(20_000_000),
    "1 MB chat": lambda: _chat("word " * 200_000),
    "0.4 MB of one letter": lambda: _chat("<|" + "a" * 400_000),
    "two million []": lambda: b'{"model": "m", "x": [' + b"[]," * 2_000_000 + b"0]}",
    "half a million messages": lambda: b'{"model": "m", "messages": [' + b'{"role":"user"},' * 500_000 + b"0]}",
    "deep nesting": lambda: b'{"model": "m", "messages": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}",
    "a huge number": lambda: b'{"model": "m", "messages": ' + b"9" * 4_000_000 + b"}",
}


@contextmanager
def sending(url: str, body: bytes) -> Iterator[list[int]]:
    """Sends a body again and again in the background. Yields the statuses of the answers."""
    over, statuses = threading.Event(), []

    def send() -> None:
        while not over.is_set():
            statuses.append(requests.post(url + CHAT, data=body, timeout=120).status_code)

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
    fleet = fake_fleet(fake_pool())
    (model,) = fleet.models
    models = [model.model_copy(update={"name": name, "aliases": []}) for name in ("m", SMALL)]
    fleet = fleet.model_copy(update={"models": models})
    checkpoint = str(resolve("tiny-gpt-oss-sums").path)
    figures: dict[str, float] = {}
    with fake_engine(fake_pool()) as heavy_engine, fake_engine(fake_pool()) as small_engine:
        replicas = [
            announcement(heavy_engine, fake_pool(), aliases=(), renderer="harmony", checkpoint=checkpoint),
            announcement(small_engine, fake_pool(), model=SMALL, aliases=()),
        ]
        with gateway(fleet, replicas) as (url, _):
            for name, make in BODIES.items():
                body, added = make(), []
                for _ in range(ROUNDS):
                    without = _p99_ms(url)
                    with sending(url, body) as statuses:
                        added.append(_p99_ms(url) - without)
                figures[f"{name}: p99 added, ms"] = statistics.median(added)
                figures[f"{name}: last status"] = statuses[-1]
    return figures


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:40} {value:10.3f}")
