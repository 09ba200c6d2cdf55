"""What an answer says of its own cost, whole or while it streams."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from deployments.gateway.admission.limits import Unit
from deployments.gateway.errors.error_object import UNREADABLE

FRAME_END = b"\n\n"
REPORT = re.compile(rb'"usage": ?\{')
"""Where a frame reports its usage. Within a text of the model's the quotes would be escaped."""

ASKED = b'{"stream_options":{"include_usage":true},'


MOST_TOKENS = 2**27
"""Of one answer: 128 sequences of a million tokens. A report of more is an engine's mistake, and is not believed."""

MOST_AUDIO_S = 10 * 86_400.0
"""Seconds of audio of one answer."""

Tokens = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=MOST_AUDIO_S)]


class _Details(msgspec.Struct):
    cached_tokens: Tokens | None = None


class Usage(msgspec.Struct):
    """As engines report it: of chats and completions, of responses (`input_*`, `output_*`), or of audio."""

    total_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    prompt_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    seconds: Seconds | None = None


class _Answer(msgspec.Struct):
    usage: Usage | None = None


class _Frame(msgspec.Struct):
    """Of a chat or completion the answer so far; of the responses route an event that holds it."""

    usage: Usage | None = None
    response: _Answer | None = None
    choices: list[Any] | None = None


_ANSWER, _FRAME = msgspec.json.Decoder(_Answer), msgspec.json.Decoder(_Frame)


def ask_for_usage(sent: bytes, body: dict[str, Any]) -> tuple[bytes, bool]:
    """A streaming chat or completion `body`, as bytes, that asks the engine to report the usage of the stream; and
    whether that was added here, so that the client must not see the report."""
    if body.get("stream") is not True or "stream_options" in body:
        return sent, False
    return ASKED + sent.lstrip()[1:], True


def insist_on_usage(body: dict[str, Any]) -> bool:
    """Makes a body whose `stream_options` leave the usage out ask for it, in place. Returns whether it did.

    Limits are charged by what engines computed, whatever the client wants to be shown.
    """
    options = body.get("stream_options", False)
    if options is None:
        options = {}
    if not isinstance(options, dict) or options.get("include_usage") is True:
        return False
    body["stream_options"] = {**options, "include_usage": True, "continuous_usage_stats": False}
    return True


class AnswerUsage:
    """What one answer costs, from what passes. `hidden`: its report was asked for here, and is kept from the client."""

    def __init__(self, hidden: bool = False) -> None:
        self.hidden = hidden
        self._frames = 0
        self._last_report = b""
        self._usage: Usage | None = None
        self._is_final = False

    @property
    def is_final(self) -> bool:
        """Whether the engine has reported what the whole answer took."""
        return self.reported() is not None and self._is_final

    def take_whole(self, body: bytes) -> None:
        """Takes an answer that is one object."""
        self._is_final = True
        try:
            self._usage = _ANSWER.decode(body).usage
        except UNREADABLE:
            self._usage = None

    def take_frames(self, frames: bytes) -> bytes:
        """Takes the next whole frames of a stream and gives back those that the client is to see."""
        self._frames += frames.count(FRAME_END)
        if not REPORT.search(frames):
            return frames
        if not self.hidden:
            # Some clients ask for a report with every token: only the last one is read, at the end.
            self._last_report = frames
            return frames
        return b"".join(frame for frame in _split(frames) if not self._is_report(frame))

    def reported(self) -> Usage | None:
        """The last report; None where there was none."""
        if self._last_report:
            for frame in _split(self._last_report):
                self._read(frame)
            self._last_report = b""
        return self._usage

    @property
    def output_tokens(self) -> int | None:
        usage = self.reported()
        if usage is None:
            return None
        return usage.completion_tokens if usage.completion_tokens is not None else usage.output_tokens

    @property
    def cached_tokens(self) -> int | None:
        """Of the prompt, that the engine had already. None where it does not tell; it leaves out what is nothing."""
        usage = self.reported()
        if usage is None:
            return None
        details = usage.prompt_tokens_details or usage.input_tokens_details
        return details.cached_tokens if details else None

    @property
    def frames(self) -> int:
        """Frames of a stream that have passed."""
        return self._frames

    def amount(self, unit: Unit, prompt_tokens: float) -> float | None:
        """Tokens of prompt and answer, or seconds of audio, so far; None where nothing tells.

        Where a stream reports nothing each frame counts as one token, which is what engines send in one where they
        keep up with their own steps.
        """
        usage = self.reported()
        if usage is not None:
            return usage.total_tokens if unit is Unit.TOKENS else usage.seconds
        return prompt_tokens + self._frames if self._frames and unit is Unit.TOKENS else None

    def _is_report(self, frame: bytes) -> bool:
        read = self._read(frame)
        return read is not None and read.choices == [] and read.usage is not None

    def _read(self, frame: bytes) -> _Frame | None:
        if not REPORT.search(frame):
            return None
        try:
            read = _FRAME.decode(frame[frame.find(b"data:") + len(b"data:") :])
        except UNREADABLE:
            return None
        self._is_final = self._is_final or read.choices == [] or read.response is not None
        self._usage = read.usage or (read.response.usage if read.response else None) or self._usage
        return read


def _split(frames: bytes) -> list[bytes]:
    """Whole frames, each with its end."""
    return [frame + FRAME_END for frame in frames.split(FRAME_END) if frame]
