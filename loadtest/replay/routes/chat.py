"""POST /v1/chat/completions: text of about the trace's length, pictures between its shared and its own part."""

from __future__ import annotations

from typing import Any

import msgspec

from loadtest.replay.contents import Contents
from loadtest.replay.routes.base import Asked
from loadtest.traces.trace import TraceRequest

TEMPLATE_TOKENS = 128


class Chat:
    path = "/v1/chat/completions"
    content_type = "application/json"

    def spare(self, context: int) -> int:
        return TEMPLATE_TOKENS + context // 8

    def body(self, request: TraceRequest, number: int, asked: Asked, contents: Contents) -> bytes:
        shared, own = contents.text(request, number, asked.vocabulary)
        parts: list[dict[str, Any]] = [_text(shared)] if shared else []
        parts += [{"type": "image_url", "image_url": {"url": contents.picture(image)}} for image in request.images]
        parts += [_text(own)] if own else []
        return msgspec.json.encode(
            {
                "model": asked.model,
                "messages": [{"role": "user", "content": parts}],
                "stream": True,
                "stream_options": {"include_usage": True},
            }
            | asked.limits(request.output_tokens)
        )


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
