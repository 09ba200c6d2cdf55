"""POST /v1/completions with token ids: prompts of exactly the lengths of the trace."""

from __future__ import annotations

import msgspec

from loadtest.replay.contents import Contents
from loadtest.replay.routes.base import Asked
from loadtest.traces.trace import TraceRequest


class Completions:
    path = "/v1/completions"
    content_type = "application/json"

    def spare(self, context: int) -> int:
        return 1

    def body(self, request: TraceRequest, number: int, asked: Asked, contents: Contents) -> bytes:
        return msgspec.json.encode(
            {
                "model": asked.model,
                "prompt": contents.token_ids(request, number, asked.vocabulary),
                "stream": True,
                "stream_options": {"include_usage": True},
            }
            | asked.limits(request.output_tokens)
        )
