"""The texts that an engine tokenises again, tokenised here for the time that it takes."""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from deployments.gateway.media.references import is_data
from deployments.gateway.preparation.engine_work.refusing import too_complex
from deployments.gateway.preparation.prompts.renderers import Renderer

TOKENISE_S = 0.3
"""Seconds of CPU for the texts that an engine tokenises again, which takes it up to three times as long."""

PROMPT_FIELDS = ("messages", "prompt", "input", "instructions", "tools")

MEDIA_NAMES = ("url", "image_url", "audio_url", "video_url", "data", "file_data")
"""Fields of a content part that hold media. A text may begin like media, too, and is tokenised."""

MOST_IDS = 2_000_000
"""Token ids, sent or made of text. vLLM takes up to 0.4 us for each: some texts are many tokens quickly."""

SHORT = 64
"""Characters below which texts are tokenised together: each call has a price of its own."""


def tokenise_as_engines_do(renderer: Renderer, body: Mapping[str, Any]) -> None:
    """Tokenises the texts of a prompt. Kills this process at `TOKENISE_S`: the tokenizers look for no signal.

    Raises ApiError 400 where they have more than `MOST_IDS` tokens.
    """
    with _killed_at_the_limit():
        tokens = sum(map(renderer.tokenise, prompt_texts(body)))
    if tokens > MOST_IDS:
        raise too_complex(f"the body has {tokens} tokens; send at most {MOST_IDS}")


@contextmanager
def _killed_at_the_limit() -> Iterator[None]:
    signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_VIRTUAL, TOKENISE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def prompt_texts(body: Mapping[str, Any]) -> Iterator[str]:
    """The texts of a prompt, media left out, names of fields included: tools are rendered with theirs.

    The texts of one array are one text, as a message's parts are to some renderers: a tokenizer's time may grow with
    the square of a run that goes through all of them.
    """
    short: list[str] = []
    for name in PROMPT_FIELDS:
        media = () if name == "tools" else MEDIA_NAMES
        for text in _texts(body.get(name), media):
            if len(text) < SHORT:
                short.append(text)
            else:
                yield text
    yield " ".join(short)


def _texts(value: Any, media: Collection[str]) -> Iterator[str]:
    """Without recursion: a body may be nested deeper than Python's stack. `media`: fields whose data: is no text."""
    left: list[Any] = [value]
    while left:
        node = left.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict):
            yield from node
            left.extend(each for name, each in node.items() if not (name in media and _is_media(each)))
        elif isinstance(node, list):
            yield "".join(map(_part_text, node))
            left.extend(_rest(item) for item in node if isinstance(item, dict | list))


def _is_media(value: Any) -> bool:
    return isinstance(value, str) and is_data(value)


def _part_text(item: Any) -> str:
    text = item.get("text") if isinstance(item, dict) else item
    return text if isinstance(text, str) else ""


def _rest(item: Any) -> Any:
    """An item of an array without the text that is a part of the array's."""
    if isinstance(item, dict) and isinstance(item.get("text"), str):
        return {name: value for name, value in item.items() if name != "text"}
    return item
