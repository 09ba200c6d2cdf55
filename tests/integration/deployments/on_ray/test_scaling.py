"""Pools that grow and shrink on real Ray Serve, with fake engines: from nothing, the cheap one first, and back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import requests

from cluster.fleet import Autoscaling, Fleet
from deployments.run import serving
from tests.support.processes import fake_fleet, fake_pool

SLOTS = 4
WITHIN_S = 60


def fleet() -> Fleet:
    """A replica is meant for two sequences."""
    cheap, dear = (
        fake_pool(name, slots=SLOTS, decode_step_s=0.05).model_copy(
            update={"min_replicas": 0, "max_replicas": most, "cost": cost}
        )
        for name, most, cost in (("cheap", 2, 1.0), ("dear", 1, 5.0))
    )
    made = fake_fleet(cheap, dear, queue_timeout_s=60)
    settings = Autoscaling(target_use=0.5, up_window_s=1, down_window_s=6, to_zero_after_s=6)
    (model,) = made.models
    return made.model_copy(update={"models": [model.model_copy(update={"autoscaling": settings})]})


@pytest.fixture(scope="module")
def url(small_ray: set[int]) -> Iterator[str]:
    with serving(fleet()) as address:
        yield address


def pools(url: str) -> dict[str, int]:
    """Pool -> replicas that take requests."""
    (model,) = requests.get(f"{url}/fleet", timeout=5).json()["models"]
    found: dict[str, int] = {}
    for replica in model["replicas"]:
        found[replica["pool"]] = found.get(replica["pool"], 0) + 1
    return found


def ask(url: str, tokens: int) -> requests.Response:
    body = {
        "model": "m",
        "prompt": "hello",
        "max_tokens": tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return requests.post(f"{url}/v1/completions", json=body, timeout=WITHIN_S)


def until(reached: Callable[[], bool], timeout_s: float = WITHIN_S) -> float:
    began = time.monotonic()
    while not reached():
        assert time.monotonic() - began < timeout_s, "not reached in time"
        time.sleep(0.2)
    return time.monotonic() - began


@pytest.mark.slow
def test_from_zero_to_the_dear_pool_and_back_without_losing_a_request(url: str) -> None:
    assert pools(url) == {}
    assert requests.get(f"{url}/ready", timeout=5).status_code == 200, "a model at zero is ready to be asked"
    first = ask(url, 4)
    assert first.status_code == 200, "it has waited for its replica to start"
    assert first.headers["x-pool"] == "cheap"

    over = threading.Event()

    def client() -> list[requests.Response]:
        answers = []
        while not over.is_set():
            answers.append(ask(url, 40))
        return answers

    sizes: list[dict[str, int]] = []
    with ThreadPoolExecutor(8) as threads:
        clients: list[Future[list[requests.Response]]] = [threads.submit(client) for _ in range(8)]
        until(lambda: sizes.append(pools(url)) or sizes[-1] == {"cheap": 2, "dear": 1})  # type: ignore[func-returns-value]
        over.set()
    answers = [answer for one in clients for answer in one.result()]
    assert len(answers) >= 8
    for answer in answers:
        assert answer.status_code == 200
        assert answer.content.endswith(b"data: [DONE]\n\n")
        assert b'"completion_tokens":40' in answer.content
    assert not [size for size in sizes if size.get("dear") and size.get("cheap", 0) < 2], "the dear one comes last"

    long = threading.Thread(target=lambda: answers.append(ask(url, 600)))
    long.start()
    until(lambda: sum(pools(url).values()) <= 1)
    long.join(WITHIN_S)
    assert answers[-1].content.endswith(b"data: [DONE]\n\n"), "the replica that went has finished what it had"
    assert b'"completion_tokens":600' in answers[-1].content
    until(lambda: pools(url) == {})
