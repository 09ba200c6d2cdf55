"""A real engine never outlives its replica, and a killed replica comes back."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import psutil
import pytest
from openai import OpenAI

from tests.e2e.embedded.conftest import RunningFleet

GONE_WITHIN_S = 40
BACK_WITHIN_S = 240


def guard_of(url: str) -> psutil.Process:
    """The guard process of the engine at `url`."""
    port = str(urlsplit(url).port)
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "deployments.engine.guard" in words and port in words:
            return process
    raise AssertionError(f"no guard for {url}")


@pytest.mark.slow
def test_a_killed_actor_takes_its_engine_along_and_is_replaced(fleet: RunningFleet, client: OpenAI) -> None:
    before = fleet.replicas("gpt-oss")[0]
    guard = guard_of(str(before["url"]))
    actor = guard.parent()
    assert actor is not None
    engine = guard.children(recursive=True)
    assert len(engine) >= 2, "the server and its engine core"
    actor.kill()
    _, left = psutil.wait_procs([guard, *engine], timeout=GONE_WITHIN_S)
    assert not left, "an engine outlived its replica"

    # A request that comes meanwhile waits for the new replica: it is not lost.
    started = time.monotonic()
    question = [{"role": "user", "content": "What is 27 + 58?"}]
    answer = client.with_options(timeout=BACK_WITHIN_S).chat.completions.create(
        model="gpt-oss", messages=question, temperature=0, max_tokens=128
    )
    assert answer.choices[0].message.content == "85"
    assert time.monotonic() - started < BACK_WITHIN_S
    (after,) = fleet.replicas("gpt-oss")
    assert after["incarnation"] != before["incarnation"]
