"""A request inside a virtual engine."""

from __future__ import annotations

import math
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field

from deployments.engine.fake.kv_blocks import Allocation


@dataclass(slots=True, eq=False)
class Sequence:
    """One prompt and its growing answer, of which only lengths are known.

    Attributes:
        keys: of its full blocks, prompt and answer; none where nothing is cached.
        image_tokens, audio_s: what is encoded before the prompt's tokens, as far as these are not cached.
        computed: tokens whose KV lies in its blocks, while it prefills.
        emitted: tokens of the answer, as long as it does not decode.
        cached_tokens: found when it was first admitted.
        order: of admission, among the running ones.
    """

    number: int
    prompt_tokens: int
    output_tokens: int
    keys: SequenceOf[int] = ()
    image_tokens: int = 0
    audio_s: float = 0.0
    submitted_at: float = math.nan
    scheduled_at: float = math.nan
    first_token_at: float = math.nan
    ended_at: float = math.nan
    cached_tokens: int = 0
    preempted: int = 0

    computed: int = field(init=False, default=0)
    emitted: int = field(init=False, default=0)
    order: int = field(init=False, default=-1)
    allocation: Allocation | None = field(init=False, default=None)
    since: int = field(init=False, default=-1)
    """The step after which it began to decode; -1 while it does not."""
    grows_at: int = field(init=False, default=-1)
    """The step that needs its next block."""

    @property
    def target(self) -> int:
        """Tokens to compute before it can emit the next one."""
        return self.prompt_tokens + self.emitted

    @property
    def tokens(self) -> int:
        """At its end."""
        return self.prompt_tokens + self.output_tokens
