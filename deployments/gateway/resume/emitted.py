"""The token ids of a stream, asked for, kept, and hidden from a client that did not ask for them itself."""

from __future__ import annotations

from typing import Any

import msgspec

from deployments.gateway.errors.error_object import UNREADABLE
from deployments.gateway.proxy.usage import FRAME_END
from deployments.gateway.resume.conditions import NotExact

ASKED = b'{"return_token_ids":true,'
IDS, PROMPT_IDS = b'"token_ids":[', b'"prompt_token_ids":['
NO_IDS, NO_PROMPT_IDS = b'"token_ids":null', b'"prompt_token_ids":null'
FINISHED = b'"finish_reason":"'
UNFINISHED = b'"finish_reason":null'
NOTHING_NEW = b'"delta":{}'
"""A frame that an engine sends for its token's id alone."""

MOST_ID_BYTES = 2**23
"""Of token ids that are kept of a prompt, and of its answer: over a million of them."""

DONE = b"data: [DONE]"
# These are looked for as bytes: within a text of the model's the quotes would be escaped. And by bytes' own methods,
# since a regular expression costs ten times as much, for every token of every stream.


def ask_for_ids(sent: bytes, body: dict[str, Any]) -> bytes:
    """A `body`, as bytes, that asks the engine for the ids of what it says."""
    return sent if "return_token_ids" in body else ASKED + sent.lstrip()[1:]


class Emitted:
    """What a stream has said so far. `shown`: its client asked for ids itself, and sees them.

    Attributes:
        finished: whether its last token was said. done: whether its end was.
    """

    def __init__(self, shown: bool) -> None:
        self.shown = shown
        self.finished = self.done = False
        self._first = b""
        self._prompt: bytes | None = None
        self._ids: list[bytes] = []
        self._id_bytes = 0

    def take(self, frames: bytes) -> bytes:
        """Takes the next whole frames and gives back those that the client is to see."""
        if self._prompt is None:
            frames = self._take_first(frames)
        self.finished = self.finished or FINISHED in frames
        self.done = self.done or DONE in frames
        before, *with_ids = frames.split(IDS)
        if not with_ids:
            return frames
        kept = [before]
        for part in with_ids:
            ids, _, after = part.partition(b"]")
            if ids:
                self._keep(ids)
            kept.append(after)
        if self.shown:
            return frames
        frames = NO_IDS.join(kept)
        return frames if NOTHING_NEW not in frames else _without_nothing_new(frames)

    def _take_first(self, frames: bytes) -> bytes:
        if not self._first:
            self._first = frames[: min(frames.find(FRAME_END), 2 * MOST_ID_BYTES)]
        before, found, rest = frames.partition(PROMPT_IDS)
        if not found:
            return frames
        prompt, _, after = rest.partition(b"]")
        self._prompt = prompt[: MOST_ID_BYTES + 1]
        return frames if self.shown else before + NO_PROMPT_IDS + after

    def head(self) -> dict[str, Any]:
        """Id, time and model, which all frames of a stream have in common. Raises NotExact."""
        try:
            first = msgspec.json.decode(self._first.removeprefix(b"data: "))
        except UNREADABLE:
            first = None
        if not isinstance(first, dict):
            raise NotExact("its first event cannot be read")
        return {name: first[name] for name in ("id", "created", "model") if name in first}

    def prompt_ids(self) -> list[int] | None:
        """None where the engine did not tell. Raises NotExact."""
        return None if self._prompt is None else _numbers(self._prompt)

    def ids(self) -> list[int]:
        """Raises NotExact where the engine told too many, or what are none."""
        return _numbers(b",".join(self._ids))

    def count(self) -> int:
        """How many there are. At their limit no more are counted."""
        return sum(ids.count(b",") + 1 for ids in self._ids)

    def _keep(self, ids: bytes) -> None:
        if self._id_bytes <= MOST_ID_BYTES:
            ids = ids[: MOST_ID_BYTES + 1 - self._id_bytes]
            self._ids.append(ids)
            self._id_bytes += len(ids) + 1

    def forget(self, count: int) -> None:
        """Takes back the last `count` ids, which have shown the client nothing yet."""
        kept = self.ids()[: len(self.ids()) - count]
        self._ids = [b",".join(b"%d" % token for token in kept)] if kept else []


def _numbers(ids: bytes) -> list[int]:
    if len(ids) > MOST_ID_BYTES:
        raise NotExact("its engine told more token ids than an answer has")
    try:
        return [int(token) for token in ids.split(b",")] if ids else []
    except ValueError:
        raise NotExact("its engine told token ids that are no numbers") from None


def _without_nothing_new(frames: bytes) -> bytes:
    split = frames.split(FRAME_END)
    return FRAME_END.join(frame for frame in split if not (NOTHING_NEW in frame and UNFINISHED in frame))
