"""vLLM's own API server stands still for at most a second for the largest body of each kind that the gateway admits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from deployments.engine.rendering import renderer_of
from deployments.gateway.preparation.json_body import Source
from tests.support.engine_admission import Admission, Admitted
from tests.support.hostile_structures import RESPONSES, STRUCTURES, Structure
from tests.support.hostile_texts import TEXTS, Text
from tests.support.vllm_server import VllmServer, vllm_server

pytestmark = pytest.mark.slow

MOST_S = 1.0
FEWEST_CHARACTERS = 32_768


@dataclass(frozen=True)
class Served:
    """A model behind a gateway's preparation, on one event loop."""

    runner: asyncio.Runner
    admission: Admission
    server: VllmServer

    def stands_s(self, route: str, make: Callable[[int], dict[str, Any]], start: int, blocks: bool = False) -> float:
        """CPU seconds for which the largest admitted body occupies the server; the lesser of two times."""
        return self.runner.run(self._stands_s(route, make, start, blocks))

    async def _stands_s(self, route: str, make: Callable[[int], dict[str, Any]], start: int, blocks: bool) -> float:
        admitted = await self.admission.largest(route, make, start)
        if not admitted.body:
            _check_refusal(admitted)
            return 0.0
        if admitted.refusal:
            _check_refusal(admitted)
        answers = [await self.server.post(route, admitted.body) for _ in range(2)]
        assert {answer.status for answer in answers} <= {200, 400}, answers[0].message
        return min(answer.process_s if blocks else answer.loop_s for answer in answers)


def _check_refusal(admitted: Admitted) -> None:
    """It says why, and what to do."""
    assert admitted.refusal is not None
    assert admitted.refusal.status == 400
    message = admitted.refusal.message
    assert any(words in message for words in ("stand still", "send a shorter", "must be", "not valid JSON")), message


@pytest.fixture(scope="module", params=["gpt-oss", "qwen3-vl"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    model: str = request.param
    with asyncio.Runner() as runner:
        server = runner.run(vllm_server(model))
        admission = Admission(Source(renderer_of(server.spec), server.spec.checkpoint), model)
        runner.run(admission.start())
        yield Served(runner, admission, server)
        runner.run(admission.close())


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_text_occupies_the_server_for_a_second_at_most(served: Served, text: Text) -> None:
    assert served.stands_s(RESPONSES, lambda size: {"input": text(size)}, FEWEST_CHARACTERS) < MOST_S


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
def test_a_structure_occupies_the_server_for_a_second_at_most(served: Served, structure: Structure) -> None:
    assert served.stands_s(structure.route, structure.make, 16, structure.blocks) < MOST_S
