"""A fleet that is deployed again with other engine settings, under load: no request fails, and the new ones hold."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from ray import serve

from cluster.fleet import Fleet
from cluster.names import APPLICATION
from deployments.app import build
from deployments.engine.process import free_port
from deployments.run import serving
from tests.support.processes import fake_fleet, fake_pool

PORT = free_port("127.0.0.1")
OLD_TOKENS, NEW_TOKENS = 12, 20


def fleet(tokens: int, replicas: int = 2) -> Fleet:
    """Answers have so many tokens where the request does not say: an engine setting that clients see."""
    pools = [
        fake_pool(name, decode_step_s=0.02, tokens_per_answer=tokens).model_copy(update={"min_replicas": replicas})
        for name in ("a", "b")
    ]
    return fake_fleet(*pools, port=PORT)


@pytest.fixture(scope="module")
def url(small_ray: set[int]) -> Iterator[str]:
    with serving(fleet(OLD_TOKENS)) as address:
        yield address


def one(session: requests.Session, url: str, stream: bool) -> int:
    """Tokens of one answer. Raises where it is not whole."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "stream": stream}
    body |= {"stream_options": {"include_usage": True}} if stream else {}
    answer = session.post(f"{url}/v1/chat/completions", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    if not stream:
        return int(answer.json()["usage"]["completion_tokens"])
    assert answer.content.endswith(b"data: [DONE]\n\n")
    return answer.content.count(b'"finish_reason"') - 1


@pytest.mark.slow
def test_no_request_fails_while_everything_is_replaced(url: str) -> None:
    before = {replica["replica"] for replica in requests.get(f"{url}/fleet", timeout=5).json()["models"][0]["replicas"]}
    over = threading.Event()
    seen: Counter[int] = Counter()

    def client(number: int) -> list[str]:
        failures = []
        with requests.Session() as session:
            while not over.is_set():
                try:
                    seen[one(session, url, stream=number % 2 == 0)] += 1
                except Exception as error:  # whatever a client meets
                    failures.append(f"{type(error).__name__}: {error}")
        return failures

    with ThreadPoolExecutor(6) as threads:
        clients = [threads.submit(client, number) for number in range(6)]
        serve.run(build(fleet(NEW_TOKENS)), name=APPLICATION, route_prefix=None)
        over.wait(8)
        old = seen[OLD_TOKENS]
        over.wait(3)
        over.set()
    failures = [failure for each in clients for failure in each.result()]
    assert failures == []
    assert seen[NEW_TOKENS] > 50
    assert set(seen) == {OLD_TOKENS, NEW_TOKENS}, "every answer is of one setting or of the other"
    assert seen[OLD_TOKENS] == old, "no old engine answers any more"
    (model,) = requests.get(f"{url}/fleet", timeout=5).json()["models"]
    assert not before & {replica["replica"] for replica in model["replicas"]}
