"""POST /v1/completions."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiohttp import web

from deployments.engine.fake.answering import (
    DONE,
    answer_id,
    collect,
    finish_reason_at,
    json_response,
    sse,
    stream,
    usage_of,
)
from deployments.engine.fake.batch import Sequence
from deployments.engine.fake.engine import ENGINE
from deployments.engine.fake.prompts import completion_prompts
from deployments.engine.fake.requests import CompletionRequest, checked_choices, checked_limit, read_json
from deployments.engine.fake.tokenizer import decode, piece

DEFAULT_MAX_TOKENS = 16
"""OpenAI's, and vLLM's, for this route alone."""


async def create_completion(request: web.Request) -> web.StreamResponse:
    engine = request.app[ENGINE]
    body = await read_json(request, CompletionRequest)
    engine.check_model(body.model)
    checked_choices(body.n)
    limit = checked_limit(body.max_tokens, "max_tokens") or DEFAULT_MAX_TOKENS
    changed = asyncio.Event()
    sequences = [
        engine.sequence(
            prompt,
            limit,
            changed,
            salt=body.cache_salt,
            ignores_stop=body.ignore_eos,
            streams=bool(body.stream),
        )
        for prompt in completion_prompts(body.prompt)
    ]
    head = {
        "id": answer_id(request, "cmpl"),
        "object": "text_completion",
        "created": int(time.time()),
        "model": engine.config.names[0],
    }
    if body.stream:
        return await stream(request, engine, sequences, changed, CompletionFrames(head, body, sequences))
    await collect(request, engine, sequences, changed)
    choices = [_choice(index, sequence, body) for index, sequence in enumerate(sequences)]
    further = {"service_tier": None, "system_fingerprint": None, "kv_transfer_params": None}
    return json_response({**head, "choices": choices, "usage": usage_of(sequences), **further})


def _choice(index: int, sequence: Sequence, body: CompletionRequest) -> dict[str, Any]:
    return {
        "index": index,
        "text": decode(sequence.output),
        "logprobs": None,
        "finish_reason": sequence.finish_reason,
        "stop_reason": None,
        "token_ids": sequence.output if body.return_token_ids else None,
        "prompt_logprobs": None,
        "prompt_token_ids": sequence.prompt if body.return_token_ids else None,
    }


class CompletionFrames:
    """One frame a token; the first of each prompt carries the prompt's ids where they are asked for."""

    def __init__(self, head: dict[str, Any], body: CompletionRequest, sequences: list[Sequence]) -> None:
        self._head = head
        self._body = body
        self._sequences = sequences

    def token(self, index: int, sequence: Sequence, count: int) -> bytes:
        with_ids = self._body.return_token_ids
        choice = {
            "index": index,
            "text": piece(sequence.new_token(count)),
            "logprobs": None,
            "finish_reason": finish_reason_at(sequence, count),
            "stop_reason": None,
            "prompt_token_ids": sequence.prompt if with_ids and count == 1 else None,
            "token_ids": [sequence.new_token(count)] if with_ids else None,
        }
        chunk = {**self._head, "choices": [choice]}
        if self._body.counts_on_the_way:
            chunk["usage"] = usage_of([sequence], count)
        return sse(chunk)

    def closing(self) -> bytes:
        if not self._body.includes_usage:
            return DONE
        return sse({**self._head, "choices": [], "usage": usage_of(self._sequences)}) + DONE
