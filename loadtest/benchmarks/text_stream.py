"""Streamed answers whose text counts: chat completions and transcriptions, in events of one shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import DecodeError, Struct
from msgspec.json import Decoder

from loadtest.benchmarks.base import Answer, BadReply


class Event(Struct):
    """What all events have in common."""

    error: Any = None


E = TypeVar("E", bound=Event)


def read_event(decoder: Decoder[E], event: bytes) -> E:
    """Raises BadReply for an event of another shape, and for one that is an error."""
    try:
        read = decoder.decode(event)
    except DecodeError as error:
        raise BadReply(f"an event of the stream is not of OpenAI's shape: {error}") from None
    if read.error is not None:
        raise BadReply(f"the stream ended with an error: {read.error}")
    return read


class TextStream:
    """One streamed answer. `encode` gives LoadGen's bytes of a text."""

    def __init__(self, encode: Callable[[str], bytes]) -> None:
        self._encode = encode
        self._text: list[str] = []
        self._tokens: int | None = None

    def take(self, event: bytes) -> bool:
        chunk = read_event(_chunks, event)
        parts = [choice.delta.content for choice in chunk.choices if choice.delta.content]
        self._text += parts
        if chunk.usage is not None:
            self._tokens = chunk.usage.completion_tokens
        return bool(parts)

    @property
    def first(self) -> bytes:
        return self._encode(self._text[0]) if self._text else b""

    def answer(self) -> Answer:
        if self._tokens is None:
            raise BadReply(
                "the stream holds no count of generated tokens; the endpoint must report usage at its end when it is "
                "asked to (stream_options.include_usage, for transcriptions stream_include_usage), as vLLM does"
            )
        text = "".join(self._text)
        return Answer(self._encode(text), self._tokens, text.strip())


class _Delta(Struct, frozen=True):
    content: str | None = None


class _Choice(Struct):
    delta: _Delta = _Delta()


class _Usage(Struct):
    completion_tokens: int = 0


class _Chunk(Event):
    choices: list[_Choice] = []
    usage: _Usage | None = None


_chunks = Decoder(_Chunk)
