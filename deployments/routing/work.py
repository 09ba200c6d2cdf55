"""How much work a request is, in features whose seconds each replica has a rate of its own for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Work = Sequence[float]
"""An amount of each feature."""

FEATURES = ("requests", "kilo-tokens", "kilo-tokens squared", "kilo-tokens of images", "seconds of audio")
"""Attention over what came before makes a long prompt dearer than its length: for `u` tokens to compute at the end of
`n`, u * (n - u / 2) pairs. In thousands, so that no feature's numbers dwarf another's."""

CHARACTERS_PER_TOKEN = 4
TOKENS_PER_IMAGE = 1000
MEDIA_KEYS = frozenset(
    ("image_url", "image_embeds", "image_pil", "audio_url", "input_audio", "audio_embeds", "video_url")
)
"""Keys under which a content part holds media. Engines go by them where a part leaves its type out."""
MEDIA_PARTS = MEDIA_KEYS | {"input_image", "image", "file", "input_file"}
"""Types of content parts that are no text."""
DEFAULT_OUTPUT_TOKENS = 256
MOST_OUTPUT_TOKENS = 4096
"""A request that allows more rarely uses it: counting the whole allowance would make every such request look huge."""

MOST_ANSWERS = 2**20
"""What one body may be counted for, so that no sum overflows. vLLM takes no `n` above 16,384."""

FEWEST_BYTES_PER_AUDIO_SECOND = 500
"""4 kbit/s, less than speech codecs need: a header that claims more seconds for its bytes is not believed."""

BYTES_PER_AUDIO_SECOND = 16_000
"""128 kbit/s: what a second of compressed speech takes at most. An overestimate for lower rates."""


@dataclass(slots=True)
class Request:
    """A request as the router sees it. Its answer's length is not known, and is no part of it.

    Attributes:
        tokens: of the prompt, exact or estimated, those of images included.
        keys: of its prefixes (`keys.prompt_keys`); none where there is nothing to key on.
        session: what the client calls its conversation.
        priority: higher is more urgent; 0 is usual.
        deadline: when the first token should be there, on the caller's clock.
        streams: whether its first token will be seen before its end.
        sequences: that an engine computes for it, each in a slot of its own.
    explained: whether its decision is kept with all its terms.
    """

    tokens: int = 0
    keys: Sequence[int] = ()
    image_tokens: int = 0
    audio_s: float = 0.0
    session: str | None = None
    priority: int = 0
    deadline: float | None = None
    streams: bool = True
    sequences: int = 1
    explained: bool = False


def work_of(request: Request, uncached: float) -> tuple[float, ...]:
    """The work of a request of which so many tokens have to be computed."""
    return (
        float(request.sequences),
        uncached * 1e-3,
        uncached * (request.tokens - uncached / 2) * 1e-6,
        uncached * image_share(request),
        request.audio_s,
    )


def image_share(request: Request) -> float:
    """Kilo-tokens of images per token of its prompt."""
    return request.image_tokens / max(1, request.tokens) * 1e-3


def features(request: Request, cached_tokens: Floats) -> Floats:
    """The work of a request where `cached_tokens` (n) of its prompt are there already: (n, len(FEATURES))."""
    uncached = np.maximum(request.tokens - cached_tokens, 0.0)
    work = np.empty((len(cached_tokens), len(FEATURES)))
    work[:, 0] = request.sequences
    work[:, 1] = uncached * 1e-3
    work[:, 2] = uncached * (request.tokens - uncached / 2) * 1e-6
    work[:, 3] = uncached * image_share(request)
    work[:, 4] = request.audio_s
    return work


def audio_seconds(header_s: float | None, size_bytes: int) -> float:
    """Seconds of an audio file: those of its header as far as its bytes can hold them, else an estimate."""
    if header_s is None:
        return size_bytes / BYTES_PER_AUDIO_SECOND
    return min(header_s, size_bytes / FEWEST_BYTES_PER_AUDIO_SECOND)


def estimated_tokens(body: Mapping[str, Any]) -> int:
    """About how many tokens the prompt of a chat, completion or responses body has, without tokenising it.

    Never fails: the engine judges the body, and whatever is of an unexpected type counts as nothing.
    """
    return max(
        1, round(sum(_tokens(body.get(key)) for key in ("messages", "prompt", "input", "instructions", "tools")))
    )


def allowed_tokens(body: Mapping[str, Any]) -> int:
    """About how many tokens its answer may have, by what the body allows."""
    limit = token_limit(body)
    return DEFAULT_OUTPUT_TOKENS if limit is None else min(limit, MOST_OUTPUT_TOKENS)


def integer(value: Any) -> int | None:
    """The integer that engines take a value of JSON for, `8.0` and `"8"` too; None where it is none."""
    if isinstance(value, int):
        return value
    try:
        number = float(value) if isinstance(value, float | str) else math.nan
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def token_limit(body: Mapping[str, Any]) -> int | None:
    """The most tokens that one answer may have by its body, at least 1; None where it does not say."""
    names = ("max_completion_tokens", "max_tokens", "max_output_tokens")
    limit = next((v for k in names if (v := integer(body.get(k))) is not None), None)
    return None if limit is None else min(max(limit, 1), MOST_ANSWERS)


def answer_count(body: Mapping[str, Any]) -> int:
    """How many answers a body asks for: `n`, or the `best_of` that are tried, for each of its prompts.

    No more than `MOST_ANSWERS`: engines refuse such a body.
    """
    each = max((v for k in ("n", "best_of") if (v := integer(body.get(k))) is not None), default=1)
    prompt = body.get("prompt")
    is_token_ids = isinstance(prompt, list) and prompt and isinstance(prompt[0], int)
    prompts = len(prompt) if isinstance(prompt, list) and not is_token_ids else 1
    return min(max(1, each) * max(1, prompts), MOST_ANSWERS)


def _tokens(part: Any) -> float:
    # Without recursion: a body may be nested deeper than Python's stack.
    tokens = 0.0
    left = [part]
    while left:
        part = left.pop()
        if isinstance(part, str):
            tokens += len(part) / CHARACTERS_PER_TOKEN
        elif isinstance(part, dict):
            kind = part.get("type")
            if isinstance(kind, str) and kind in MEDIA_PARTS:
                tokens += TOKENS_PER_IMAGE
            elif kind is None and (media := MEDIA_KEYS & part.keys()):
                tokens += TOKENS_PER_IMAGE * len(media)
                left.extend(value for key, value in part.items() if key not in media)
            else:
                left.extend(part.values())
        elif isinstance(part, list | tuple):
            if part and isinstance(part[0], int):
                tokens += len(part)
            else:
                left.extend(part)
    return tokens
