"""How much work a request is, as far as can be told without tokenising it: tokens, or seconds of audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CHARACTERS_PER_TOKEN = 4
TOKENS_PER_IMAGE = 1000
IMAGE_PARTS = ("image_url", "input_image", "image")
DEFAULT_OUTPUT_TOKENS = 256
MOST_OUTPUT_TOKENS = 4096
"""A request that allows more rarely uses it: counting the whole allowance would make every such request look huge."""

BYTES_PER_AUDIO_SECOND = 16_000
"""128 kbit/s: what a second of compressed speech takes at most. An overestimate for lower rates."""


@dataclass(frozen=True)
class Work:
    """An amount of work. Units differ between tasks, and are never added across models: all requests of one model
    are measured in tokens, or all in seconds of audio."""

    amount: float


def audio_work(seconds: float | None, size_bytes: int) -> Work:
    """Work of an audio file in seconds: those of its header, else an estimate from its size."""
    return Work(seconds if seconds is not None else size_bytes / BYTES_PER_AUDIO_SECOND)


def text_work(body: Mapping[str, Any]) -> Work:
    """Work of a chat, completion or responses body in tokens: prompt estimated, output as allowed.

    Never fails: the engine judges the body, and whatever is of an unexpected type counts as nothing.
    """
    prompt = sum(_tokens(body.get(key)) for key in ("messages", "prompt", "input", "instructions", "tools"))
    allowed = next(
        (v for k in ("max_completion_tokens", "max_tokens", "max_output_tokens") if isinstance(v := body.get(k), int)),
        DEFAULT_OUTPUT_TOKENS,
    )
    return Work(max(1.0, prompt + min(max(allowed, 1), MOST_OUTPUT_TOKENS)))


def _tokens(part: Any) -> float:
    # Without recursion: a body may be nested deeper than Python's stack.
    tokens = 0.0
    left = [part]
    while left:
        part = left.pop()
        if isinstance(part, str):
            tokens += len(part) / CHARACTERS_PER_TOKEN
        elif isinstance(part, Mapping):
            if part.get("type") in IMAGE_PARTS:
                tokens += TOKENS_PER_IMAGE
            else:
                left.extend(part.values())
        elif isinstance(part, Sequence):
            if part and isinstance(part[0], int):
                tokens += len(part)
            else:
                left.extend(part)
    return tokens
