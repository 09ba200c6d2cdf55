"""A prompt as the router sees it: token ids, and the media whose placeholder tokens stand among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Media:
    """A picture: the placeholder tokens from `start` on, `tokens` of them, stand for the one with this identity.

    `identity` is what the engine knows it by (a digest of its bytes and the tenant's salt, set by the gateway).
    """

    start: int
    tokens: int
    identity: str


@dataclass(frozen=True, slots=True)
class MediaMark:
    """A picture that touches a run of blocks: its first token's place, counted from the run's first token.

    Negative where it began in an earlier block. It reaches as far as the token at its first place in the run repeats.
    """

    start: int
    identity: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids as the engine will compute them, and the media among them in order of `start`.

    Where a prompt has a part that nothing is known of, `token_ids` ends before it: what stands before can still be
    reused.
    """

    token_ids: Sequence[int]
    media: tuple[Media, ...] = ()
