"""POST /v1/responses: text in, text out; nothing is stored and no tool is called."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import uuid4

import msgspec
from aiohttp import web

from cluster.fleet import Task
from deployments.engine.fake.answering import collect, finish_reason_at, json_response, stream
from deployments.engine.fake.batch import Sequence
from deployments.engine.fake.engine import ENGINE
from deployments.engine.fake.errors import bad_body
from deployments.engine.fake.prompts import chat_prompt
from deployments.engine.fake.requests import Message, ResponsesRequest, checked_limit, read_json
from deployments.engine.fake.tokenizer import decode, piece


async def create_response(request: web.Request) -> web.StreamResponse:
    engine = request.app[ENGINE]
    body = await read_json(request, ResponsesRequest)
    engine.check_model(body.model)
    changed = asyncio.Event()
    sequence = engine.sequence(
        chat_prompt(_messages(body), engine.config.task is Task.VISION_CHAT),
        checked_limit(body.max_output_tokens, "max_output_tokens"),
        changed,
        streams=bool(body.stream),
    )
    answer = ResponseObject(engine.config.names[0], body, sequence)
    if body.stream:
        return await stream(request, engine, [sequence], changed, ResponseFrames(answer))
    await collect(request, engine, [sequence], changed)
    return json_response(answer.ended())


def _messages(body: ResponsesRequest) -> list[Message]:
    turns: list[dict[str, Any]] = [{"role": "system", "content": body.instructions}] if body.instructions else []
    turns += [{"role": "user", "content": body.input}] if isinstance(body.input, str) else body.input
    try:
        return msgspec.convert([turn for turn in turns if turn.get("type", "message") == "message"], list[Message])
    except msgspec.ValidationError as error:
        raise bad_body(f"1 validation error: {error}", "body.input") from error


class ResponseObject:
    """The response as it stands: at the beginning, and at the end."""

    def __init__(self, model: str, body: ResponsesRequest, sequence: Sequence) -> None:
        self.sequence = sequence
        self.item_id = f"msg_{uuid4().hex}"
        self._fixed = {
            "id": f"resp_{uuid4().hex}",
            "created_at": int(time.time()),
            "incomplete_details": None,
            "instructions": body.instructions,
            "metadata": None,
            "model": model,
            "object": "response",
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "background": False,
            "max_output_tokens": sequence.most_new_tokens,
            "service_tier": "auto",
            "truncation": "disabled",
        }

    def begun(self) -> dict[str, Any]:
        return {**self._fixed, "status": "in_progress", "output": [], "usage": None}

    def ended(self) -> dict[str, Any]:
        cut_short = self.sequence.finish_reason == "length"
        return {
            **self._fixed,
            "status": "incomplete" if cut_short else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if cut_short else None,
            "output": [self.item()],
            "usage": self._usage(),
        }

    def item(self) -> dict[str, Any]:
        return {
            "id": self.item_id,
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [self.part(decode(self.sequence.output))],
        }

    @staticmethod
    def part(text: str) -> dict[str, Any]:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": None}

    def _usage(self) -> dict[str, Any]:
        prompt, new = self.sequence.prompt_length, self.sequence.new_tokens
        return {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": self.sequence.cached_tokens or 0, "cache_write_tokens": 0},
            "output_tokens": new,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + new,
        }


class ResponseFrames:
    """OpenAI's named events, numbered from 0. The last one is `response.completed` or `response.incomplete`."""

    def __init__(self, answer: ResponseObject) -> None:
        self._answer = answer
        self._place = {"item_id": answer.item_id, "output_index": 0, "content_index": 0}
        self._number = 0

    def token(self, index: int, sequence: Sequence, count: int) -> bytes:
        delta = {**self._place, "delta": piece(sequence.new_token(count)), "logprobs": []}
        frames = self._opening() if count == 1 else b""
        frames += self._event("response.output_text.delta", delta)
        return frames + self._end_of_item() if finish_reason_at(sequence, count) else frames

    def closing(self) -> bytes:
        response = self._answer.ended()
        return self._event(f"response.{response['status']}", {"response": response})

    def _opening(self) -> bytes:
        begun = self._answer.begun()
        item = {**self._answer.item(), "status": "in_progress", "content": []}
        return (
            self._event("response.created", {"response": begun})
            + self._event("response.in_progress", {"response": begun})
            + self._event("response.output_item.added", {"output_index": 0, "item": item})
            + self._event("response.content_part.added", {**self._place, "part": self._answer.part("")})
        )

    def _end_of_item(self) -> bytes:
        item = self._answer.item()
        text = item["content"][0]["text"]
        return (
            self._event("response.output_text.done", {**self._place, "text": text, "logprobs": []})
            + self._event("response.content_part.done", {**self._place, "part": self._answer.part(text)})
            + self._event("response.output_item.done", {"output_index": 0, "item": item})
        )

    def _event(self, name: str, fields: dict[str, Any]) -> bytes:
        data = msgspec.json.encode({"type": name, "sequence_number": self._number, **fields})
        self._number += 1
        return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
