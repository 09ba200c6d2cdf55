"""POST /v1/chat/completions."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiohttp import web

from cluster.fleet import Task
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
from deployments.engine.fake.prompts import chat_prompt, given_ids
from deployments.engine.fake.requests import ChatRequest, checked_choices, checked_limit, read_json
from deployments.engine.fake.tokenizer import decode, piece


async def create_chat_completion(request: web.Request) -> web.StreamResponse:
    engine = request.app[ENGINE]
    body = await read_json(request, ChatRequest)
    engine.check_model(body.model)
    checked_choices(body.n)
    limit = checked_limit(body.max_tokens, "max_tokens")
    limit = checked_limit(body.max_completion_tokens, "max_completion_tokens") or limit
    changed = asyncio.Event()
    sequence = engine.sequence(
        given_ids(body.kv_transfer_params, body.messages)
        or chat_prompt(body.messages, engine.config.task is Task.VISION_CHAT),
        limit,
        changed,
        salt=body.cache_salt,
        ignores_stop=body.ignore_eos,
        streams=bool(body.stream),
    )
    head = {"id": answer_id(request, "chatcmpl"), "created": int(time.time()), "model": engine.config.names[0]}
    if body.stream:
        return await stream(request, engine, [sequence], changed, ChatFrames(head, body, sequence))
    await collect(request, engine, [sequence], changed)
    return json_response(whole_answer(head, body, sequence))


def whole_answer(head: dict[str, Any], body: ChatRequest, sequence: Sequence) -> dict[str, Any]:
    message = {"role": "assistant", "content": decode(sequence.output), "refusal": None, "reasoning": None}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": sequence.finish_reason,
        "stop_reason": None,
        "token_ids": sequence.output if body.return_token_ids else None,
    }
    return {
        **head,
        "object": "chat.completion",
        "choices": [choice],
        "service_tier": None,
        "system_fingerprint": None,
        "usage": usage_of([sequence]),
        "prompt_logprobs": None,
        "prompt_token_ids": sequence.prompt if body.return_token_ids else None,
        "kv_transfer_params": None,
    }


class ChatFrames:
    """A role frame, which carries the prompt's ids where they are asked for, then one frame a token."""

    def __init__(self, head: dict[str, Any], body: ChatRequest, sequence: Sequence) -> None:
        self._head = {**head, "object": "chat.completion.chunk"}
        self._body = body
        self._sequence = sequence

    def token(self, index: int, sequence: Sequence, count: int) -> bytes:
        choice: dict[str, Any] = {
            "index": index,
            "delta": {"content": piece(sequence.new_token(count))},
            "logprobs": None,
            "finish_reason": finish_reason_at(sequence, count),
            "token_ids": [sequence.new_token(count)] if self._body.return_token_ids else None,
        }
        if choice["finish_reason"]:
            choice["stop_reason"] = None
        frame = self._chunk(choice, count)
        return self._role_frame() + frame if count == 1 else frame

    def closing(self) -> bytes:
        if not self._body.includes_usage:
            return DONE
        return sse({**self._head, "choices": [], "usage": usage_of([self._sequence])}) + DONE

    def _role_frame(self) -> bytes:
        role = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        sequence = self._sequence
        prompt_ids = sequence.prompt if self._body.return_token_ids else None
        return self._chunk(role, 0, {"prompt_token_ids": prompt_ids})

    def _chunk(self, choice: dict[str, Any], count: int, further: dict[str, Any] | None = None) -> bytes:
        chunk = {**self._head, "choices": [choice], **(further or {})}
        if self._body.counts_on_the_way:
            chunk["usage"] = usage_of([self._sequence], count)
        return sse(chunk)
