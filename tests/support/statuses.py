"""What clients of a fake fleet get: the statuses of requests on connections of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import requests

BODY = {"model": "m", "prompt": "hello", "max_tokens": 4}


def status(url: str) -> int:
    """Of a request; 0 where there is no answer."""
    try:
        return requests.post(f"{url}/v1/completions", json=BODY, timeout=30).status_code
    except requests.RequestException:
        return 0


@contextmanager
def load(url: str, clients: int = 2) -> Iterator[Counter[int]]:
    """Each client's requests one after the other, until the block ends, and the statuses of their answers."""
    over, seen = Event(), Counter[int]()

    def client() -> None:
        while not over.is_set():
            seen[status(url)] += 1

    with ThreadPoolExecutor(clients) as threads:
        running = [threads.submit(client) for _ in range(clients)]
        try:
            yield seen
        finally:
            over.set()
        for each in running:
            each.result()
