"""vLLM's own API server stands still for at most a second for the largest body of each kind that the gateway admits."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from deployments.engine.rendering import renderer_of
from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.bodies.json_body import Source
from tests.support.engine_admission import Admission
from tests.support.hostile_structures import RESPONSES, STRUCTURES, Structure
from tests.support.hostile_texts import OTHER_TEXTS, SPECIAL_TEXTS, TEXTS, Text
from tests.support.vllm_server import VllmServer, vllm_server

pytestmark = pytest.mark.slow

MOST_S = 1.0
FEWEST_CHARACTERS = 8192

CHOSEN_TEXTS: dict[str, Text] = {
    **{name: text for name, text in TEXTS.items() if name.endswith("one character")},
    **SPECIAL_TEXTS,
    **OTHER_TEXTS,
}
"""`python -m tests.bench engine_work` has all."""


@dataclass(frozen=True)
class Served:
    """A model behind a gateway's preparation, on one event loop."""

    runner: asyncio.Runner
    admission: Admission
    server: VllmServer

    def stands_s(self, structure: Structure, start: int, halvings: int) -> float:
        """CPU seconds for which the largest admitted body occupies the server; the lesser of two times."""
        return self.runner.run(self._stands_s(structure, start, halvings))

    async def _stands_s(self, structure: Structure, start: int, halvings: int) -> float:
        admitted = await self.admission.largest(structure.route, structure.make, start, halvings)
        if admitted.refusal:
            _check_refusal(admitted.refusal)
        if not admitted.body:
            assert admitted.refusal
            return 0.0
        answers = [await self.server.post(structure.route, admitted.body) for _ in range(2)]
        assert {answer.status for answer in answers} <= {200, 400}, answers[0].message
        return min(answer.process_s if structure.blocks else answer.loop_s for answer in answers)


def _check_refusal(refusal: ApiError) -> None:
    """It says why, and so what to do."""
    assert refusal.status == 400
    assert re.search("stand still|send a shorter|must be|levels deep|engines fail", refusal.message), refusal.message


@pytest.fixture(scope="module", params=["gpt-oss", "qwen3-vl"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    model: str = request.param
    with asyncio.Runner() as runner:
        server = runner.run(vllm_server(model))
        admission = Admission(Source(renderer_of(server.spec), server.spec.checkpoint), model)
        runner.run(admission.start())
        yield Served(runner, admission, server)
        runner.run(admission.close())


@pytest.mark.parametrize("text", CHOSEN_TEXTS.values(), ids=CHOSEN_TEXTS)
def test_a_text_occupies_the_server_for_a_second_at_most(served: Served, text: Text) -> None:
    structure = Structure(RESPONSES, lambda size: {"input": text(size)})
    assert served.stands_s(structure, FEWEST_CHARACTERS, halvings=0) < MOST_S


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
def test_a_structure_occupies_the_server_for_a_second_at_most(served: Served, structure: Structure) -> None:
    assert served.stands_s(structure, 16, halvings=2) < MOST_S
