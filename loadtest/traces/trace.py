"""What a trace is: requests with their times, lengths and shared prefixes, but never their text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

MOST_MERGED = 1000


class TraceError(ValueError):
    """A trace that cannot be used. The message says what is wrong where, and what to do."""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """An image of a prompt. Equal identities are equal images; `tokens` is what it costs to prefill."""

    identity: int
    tokens: int
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """One request, as its engine sees it.

    A prompt is, in this order: its leading `blocks`, its `images`, and a rest that no other request has.

    Attributes:
        at_s: arrival, in seconds since the start of the trace.
        input_tokens: the whole prompt, images included. 0 only where the prompt is audio.
        output_tokens: tokens generated, 1 or more.
        blocks: ids of its leading text blocks. Where two requests have the same first n ids, they share the first n
            blocks; nothing else is shared. Empty where the trace does not know, or nothing is shared.
        block_tokens: tokens of each block; the last one may reach past the end of the prompt.
        audio_s: length of the clip to be transcribed, in seconds.
        session: requests of one conversation have the same.
        model: which of a mix it asks; None for the only one.
    """

    at_s: float
    input_tokens: int
    output_tokens: int
    blocks: tuple[int, ...] = ()
    block_tokens: int = 512
    images: tuple[ImageRef, ...] = ()
    audio_s: float = 0.0
    session: str | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        """Raises TraceError for a request that no engine could be asked."""
        if not 0 <= self.at_s < float("inf"):
            raise TraceError(f"arrives at {self.at_s} s; a time is 0 or more")
        if not 0 <= self.audio_s < float("inf"):
            raise TraceError(f"has {self.audio_s} s of audio; a length is 0 or more")
        if self.input_tokens < (0 if self.audio_s else 1):
            raise TraceError(f"has {self.input_tokens} input tokens; a prompt has 1 or more")
        if self.output_tokens < 1:
            raise TraceError(f"has {self.output_tokens} output tokens; an answer has 1 or more")
        if self.block_tokens < 1:
            raise TraceError(f"has blocks of {self.block_tokens} tokens; a block has 1 or more")
        if self.image_tokens > self.input_tokens:
            raise TraceError(f"has {self.image_tokens} tokens of images in {self.input_tokens} input tokens")
        if len(self.blocks) > -(-self.text_tokens // self.block_tokens):
            raise TraceError(
                f"names {len(self.blocks)} blocks of {self.block_tokens} tokens for {self.text_tokens} tokens of text; "
                f"that is more than it has"
            )

    @property
    def image_tokens(self) -> int:
        return sum(image.tokens for image in self.images)

    @property
    def text_tokens(self) -> int:
        return self.input_tokens - self.image_tokens

    @property
    def block_prefix_tokens(self) -> int:
        """Tokens that `blocks` describe."""
        return min(self.text_tokens, len(self.blocks) * self.block_tokens)


@dataclass(frozen=True)
class Lengths:
    """A distribution of lengths."""

    mean: float
    p50: float
    p90: float
    longest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Lengths:
        array = np.fromiter(values, float)
        if not array.size:
            return cls(0.0, 0.0, 0.0, 0.0)
        p50, p90 = np.percentile(array, (50, 90))
        return cls(float(array.mean()), float(p50), float(p90), float(array.max()))


@dataclass(frozen=True)
class Statistics:
    """A trace in figures. `token_hit_rate`: share of the input tokens that a cache of infinite size would hold, counted
    in whole leading blocks and images."""

    requests: int
    seconds: float
    requests_per_s: float
    input_tokens: Lengths
    output_tokens: Lengths
    audio_s: float
    images: int
    token_hit_rate: float


@dataclass(frozen=True)
class Trace:
    """Requests in the order of their arrival. Raises TraceError where they are not, or there are none."""

    name: str
    requests: tuple[TraceRequest, ...]

    def __post_init__(self) -> None:
        if not self.requests:
            raise TraceError(f"{self.name}: holds no requests")
        for before, after in pairwise(self.requests):
            if after.at_s < before.at_s:
                raise TraceError(f"{self.name}: a request at {after.at_s} s follows one at {before.at_s} s")

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def seconds(self) -> float:
        """From the first arrival to the last."""
        return self.requests[-1].at_s - self.requests[0].at_s

    @property
    def requests_per_s(self) -> float:
        """Mean rate of arrival; 0 where all arrive at once."""
        return (len(self.requests) - 1) / self.seconds if self.seconds else 0.0

    @property
    def input_tokens_per_s(self) -> float:
        """Mean rate at which input tokens arrive; 0 where all arrive at once."""
        return self.requests_per_s * sum(request.input_tokens for request in self.requests) / len(self.requests)

    def window(self, start: int, count: int) -> Trace:
        """`count` requests from the one numbered `start` (from 0), of which the first arrives at 0 s.

        Raises TraceError where the trace does not reach that far.
        """
        if start < 0 or count < 1 or start + count > len(self.requests):
            raise TraceError(f"{self.name}: no {count} requests from number {start} on; it has {len(self.requests)}")
        chosen = self.requests[start : start + count]
        return Trace(self.name, tuple(replace(request, at_s=request.at_s - chosen[0].at_s) for request in chosen))

    def scaled(self, speed: float) -> Trace:
        """The same requests `speed` times as fast. Raises TraceError unless it is positive."""
        if not 0 < speed < float("inf"):
            raise TraceError(f"{self.name}: cannot be played at {speed} times its speed; give a positive number")
        return Trace(self.name, tuple(replace(request, at_s=request.at_s / speed) for request in self.requests))

    def at_rate(self, requests_per_s: float) -> Trace:
        """The same requests at that mean rate. Raises TraceError for a trace whose requests all arrive at once."""
        if not self.requests_per_s:
            raise TraceError(f"{self.name}: all its requests arrive at once, so it has no rate to change")
        return self.scaled(requests_per_s / self.requests_per_s)

    @cached_property
    def statistics(self) -> Statistics:
        tokens = sum(request.input_tokens for request in self.requests)
        return Statistics(
            requests=len(self.requests),
            seconds=self.seconds,
            requests_per_s=self.requests_per_s,
            input_tokens=Lengths.of(request.input_tokens for request in self.requests),
            output_tokens=Lengths.of(request.output_tokens for request in self.requests),
            audio_s=sum(request.audio_s for request in self.requests),
            images=sum(len(request.images) for request in self.requests),
            token_hit_rate=sum(_hits(self.requests)) / tokens if tokens else 0.0,
        )


def merged(name: str, traces: Iterable[Trace]) -> Trace:
    """All their requests on one clock, in the order of arrival. What two traces name alike stays different."""
    together = [request for number, trace in enumerate(traces) for request in _apart(number, trace)]
    return Trace(name, tuple(sorted(together, key=lambda request: request.at_s)))


def _apart(number: int, trace: Trace) -> Iterator[TraceRequest]:
    """The requests of the merged trace of that number, with ids that no other one has."""
    blocks: dict[int, int] = {}
    images: dict[int, int] = {}

    def renamed(names: dict[int, int], identity: int) -> int:
        return names.setdefault(identity, len(names) * MOST_MERGED + number)

    if number >= MOST_MERGED:
        raise TraceError(f"at most {MOST_MERGED} traces can be merged")
    for request in trace.requests:
        yield replace(
            request,
            blocks=tuple(renamed(blocks, block) for block in request.blocks),
            images=tuple(replace(image, identity=renamed(images, image.identity)) for image in request.images),
            session=None if request.session is None else f"{number}/{request.session}",
        )


def _hits(requests: Iterable[TraceRequest]) -> Iterable[int]:
    """Per request, the tokens that an earlier one of the same model left in an infinite cache."""
    seen: dict[tuple[object, ...], int] = {}
    for request in requests:
        node, hit, missed = 0, 0, False
        left = request.text_tokens
        steps: list[tuple[int, int]] = []
        for block in request.blocks:
            steps.append((block, min(request.block_tokens, left)))
            left -= steps[-1][1]
        steps += [(~image.identity, image.tokens) for image in request.images]
        for step, tokens in steps:
            key = (request.model, node, step)
            missed = missed or key not in seen
            node = seen.setdefault(key, len(seen) + 1)
            hit += 0 if missed else tokens
        yield hit
