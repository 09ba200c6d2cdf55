"""The answers that one body asks for: vLLM's server makes a request to its core of each, on its event loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from deployments.gateway.preparation.engine_work.refusing import too_complex
from deployments.gateway.preparation.engine_work.tokenising import PROMPT_FIELDS, prompt_texts
from deployments.routing.work import answer_count

MOST_SEQUENCES = 512
"""Answers to one body. vLLM's server takes up to 1.1 ms for each."""

MOST_SENT_BYTES = 32 * 2**20
"""Of prompts and other fields that go to the engine's core once for each answer."""

BYTES_PER_ID = 5


def check_sequences(body: Mapping[str, Any]) -> None:
    """Raises ApiError 400 where a body asks for too many answers, or for many of something long."""
    count = answer_count(body)
    if count == 1:
        return
    if count > MOST_SEQUENCES:
        raise too_complex(f"the body asks for {count} answers (`n` to each prompt); send at most {MOST_SEQUENCES}")
    prompts = body.get("prompt")
    listed = prompts if isinstance(prompts, list) else []
    ids = sum(len(each) if isinstance(each, list) else isinstance(each, int) for each in listed)
    each = sum(map(len, prompt_texts(body))) + BYTES_PER_ID * ids
    once = len(msgspec.json.encode({name: value for name, value in body.items() if name not in PROMPT_FIELDS}))
    answers = max(1, count // max(1, len(listed) if not _are_ids(listed) else 1))
    if (sent := answers * each + count * once) > MOST_SENT_BYTES:
        raise too_complex(
            f"the body asks for {count} answers to a prompt so long that its engine would copy {sent / 2**20:.0f} MiB; "
            f"ask for fewer answers (`n`), within {MOST_SENT_BYTES // 2**20} MiB"
        )


def _are_ids(prompts: list[Any]) -> bool:
    return bool(prompts) and isinstance(prompts[0], int)
