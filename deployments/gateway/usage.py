"""What an answer says of its own cost, whole or while it streams."""

from __future__ import annotations

import re

import msgspec

from deployments.gateway.limits import Unit

FRAME_END = b"\n\n"
REPORT = re.compile(rb'"usage": ?\{')
"""Where a frame reports its usage. Within a text of the model's the quotes would be escaped."""


class _Usage(msgspec.Struct):
    total_tokens: int | None = None
    seconds: float | None = None


class _Answer(msgspec.Struct):
    usage: _Usage | None = None


class _Frame(msgspec.Struct):
    """Of a chat or completion the answer so far; of the responses route an event that holds it."""

    usage: _Usage | None = None
    response: _Answer | None = None


_ANSWER, _FRAME = msgspec.json.Decoder(_Answer), msgspec.json.Decoder(_Frame)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def used(unit: Unit, body: bytes) -> float | None:
    """Tokens or seconds of audio that a whole answer reports; None where it reports none."""
    try:
        usage = _ANSWER.decode(body).usage
    except _UNREADABLE:
        return None
    if usage is None:
        return None
    return usage.total_tokens if unit is Unit.TOKENS else usage.seconds


class StreamUsage:
    """Counts the tokens of a streamed answer from its frames, as they pass.

    Engines report usage in a stream only where the client asks for it. Where none is reported each frame counts as one
    token, which is what engines send in one where they keep up with their own steps.
    """

    def __init__(self, prompt_tokens: float) -> None:
        self._counted = prompt_tokens
        self._reported: int | None = None

    @property
    def tokens(self) -> float:
        """Of prompt and answer, so far: reported, else counted."""
        return self._counted if self._reported is None else self._reported

    def read(self, frames: bytes) -> None:
        """Takes the next whole frames."""
        self._counted += frames.count(FRAME_END)
        if not REPORT.search(frames):
            return
        for frame in frames.split(FRAME_END):
            if REPORT.search(frame):
                self._report(frame[frame.find(b"data:") + len(b"data:") :])

    def _report(self, content: bytes) -> None:
        try:
            frame = _FRAME.decode(content)
        except _UNREADABLE:
            return
        usage = frame.usage or (frame.response.usage if frame.response else None)
        if usage and usage.total_tokens is not None:
            self._reported = usage.total_tokens
