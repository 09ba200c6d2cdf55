"""While the largest bodies that the gateway admits are under way, an engine's own server answers others."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import requests

from tests.e2e.embedded.conftest import RunningFleet
from tests.e2e.embedded.test_recovery import guard_of
from tests.support.engine_keys import engine_keys
from tests.support.hostile_structures import RESPONSES, STRUCTURES, Structure
from tests.support.hostile_texts import TEXTS, Text

pytestmark = pytest.mark.slow

MOST_S = 1.0
EVERY_S = 0.01
START, FEWEST_CHARACTERS = 64, 8192
MOST_BYTES = 2**22
"""Of a body that is sent: what may be larger takes an engine little."""

REFUSED = "body_too_complex"


def _text(make: Text) -> Structure:
    return Structure(RESPONSES, lambda size: {"input": make(size * FEWEST_CHARACTERS // START)})


CHOSEN: dict[str, Structure] = {
    **{name: _text(TEXTS[name]) for name in ("Ll: one character", "So: one character", "<| and a run", "words")},
    **{
        name: STRUCTURES[name]
        for name in (
            "chat: messages",
            "chat: logit bias of texts",
            "chat: n",
            "completion: prompts",
            "echoed chat: messages with tool calls",
            "response: calls and answers",
            "response: items without content",
            "response: malformed parts",
            "schema: a pattern",
            "schema: doubled",
            "schema: ranges",
        )
    },
}
"""tests/e2e/test_engine_work.py has all."""


class Probe:
    """Asks an engine's server again and again whether it is well, as others' requests would."""

    def __init__(self, url: str) -> None:
        self._url = url
        (server,) = guard_of(url).children()
        self._stat = Path(f"/proc/{server.pid}/task/{server.pid}/stat")
        self.longest_s = 0.0

    def loop_s(self) -> float:
        """CPU seconds of the server's main thread, which runs its event loop."""
        user, system = self._stat.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    @contextmanager
    def running(self) -> Iterator[None]:
        """`longest_s`: the most that the loop used between two answers, and so for what it stood still for others.

        CPU and not time: other processes may hold the server up.
        """
        over = threading.Event()

        def ask() -> None:
            with requests.Session() as session:
                before = self.loop_s()
                while not over.is_set():
                    session.get(f"{self._url}/health", headers=engine_keys().headers(self._url), timeout=120)
                    after = self.loop_s()
                    self.longest_s, before = max(self.longest_s, after - before), after
                    time.sleep(EVERY_S)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize("structure", CHOSEN.values(), ids=CHOSEN)
@pytest.mark.parametrize("model", ["gpt-oss", "qwen3-vl"])
def test_an_engine_answers_others_beside_the_largest_admitted_body(
    fleet: RunningFleet, model: str, structure: Structure
) -> None:
    probe = Probe(str(fleet.replicas(model)[0]["url"]))
    size, refusal = START, None
    with probe.running():
        while refusal is None:
            body = msgspec.json.encode({"model": model, **structure.make(size)})
            if len(body) > MOST_BYTES:
                break
            answer = requests.post(f"{fleet.url}{structure.route}", data=body, timeout=300)
            assert answer.status_code in (200, 400), answer.text
            error = answer.json().get("error") or {}
            refusal = error.get("message") if error.get("code") == REFUSED else None
            size *= 2
    assert probe.longest_s <= MOST_S
    assert refusal is None or re.search("stand still|send a shorter|engines fail", refusal)
