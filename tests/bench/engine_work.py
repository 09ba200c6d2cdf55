"""How long vLLM's own API server stands still for the largest bodies that the gateway admits, of every kind."""

from __future__ import annotations

import asyncio

from cluster import mend_on_import
from deployments.engine.rendering import renderer_of
from deployments.gateway.preparation.bodies.json_body import Source
from tests.support.engine_admission import Admission
from tests.support.hostile_structures import CHAT, COMPLETIONS, RESPONSES, STRUCTURES, TOKENIZE, Structure
from tests.support.hostile_texts import TEXTS
from tests.support.vllm_server import vllm_server

MODELS = ("gpt-oss", "qwen3-vl")
ROUTES = {
    RESPONSES: lambda text: {"input": text},
    TOKENIZE: lambda text: {"prompt": text},
    CHAT: lambda text: {"messages": [{"role": "user", "content": text}], "max_tokens": 1},
    COMPLETIONS: lambda text: {"prompt": [text, "x"], "max_tokens": 1},
}
START = 1024
SHOWN = 5


async def _longest(model: str) -> dict[str, float]:
    """CPU seconds by the name of what is sent."""
    server = await vllm_server(model)
    admission = Admission(Source(renderer_of(server.spec), server.spec.checkpoint), model)
    await admission.start()
    structures = {
        **STRUCTURES,
        **{
            f"{route}, {name}": Structure(route, lambda size, body=body, text=text: body(text(size)))  # type: ignore[misc]
            for route, body in ROUTES.items()
            for name, text in TEXTS.items()
        },
    }
    seconds: dict[str, float] = {}
    for name, structure in structures.items():
        start = 16 if name in STRUCTURES else START
        admitted = await admission.largest(structure.route, structure.make, start)
        if admitted.body:
            answer = await server.post(structure.route, admitted.body)
            seconds[name] = answer.process_s if structure.blocks else answer.loop_s
    await admission.close()
    return seconds


def run() -> dict[str, float]:
    mend_on_import.install()
    figures: dict[str, float] = {}
    for model in MODELS:
        seconds = asyncio.run(_longest(model))
        figures[f"{model}: bodies"] = len(seconds)
        for name in sorted(seconds, key=lambda each: -seconds[each])[:SHOWN]:
            figures[f"{model}, {name}: s"] = seconds[name]
    return figures


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:70} {value:10.3f}")
