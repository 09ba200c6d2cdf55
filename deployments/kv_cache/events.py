"""What a replica tells of its prefix cache, in terms of its own blocks. Which engine it is does not matter here."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from deployments.routing.prompt import MediaMark

__all__ = ["Cleared", "KvEvent", "MediaMark", "Removed", "Stored"]


@dataclass(frozen=True, slots=True)
class Stored:
    """Full blocks that follow each other in one prompt can be reused from now on.

    Attributes:
        hashes: the engine's own name of each block.
        parent: its name of the block before the first; None at a prompt's start.
        token_ids: `block_size` for each of `hashes`.
        salt: what keeps the prompt apart from others of the same tokens; told at a prompt's start only.
        media: in order of `start`, each once.
    """

    hashes: Sequence[Hashable]
    parent: Hashable | None
    token_ids: Sequence[int]
    block_size: int
    salt: str = ""
    adapter: str = ""
    media: tuple[MediaMark, ...] = ()


@dataclass(frozen=True, slots=True)
class Removed:
    """These blocks were taken for other content."""

    hashes: Sequence[Hashable]


@dataclass(frozen=True, slots=True)
class Cleared:
    """Every reusable block was forgotten."""


KvEvent = Stored | Removed | Cleared
