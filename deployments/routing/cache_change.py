"""What changed in one replica's prefix cache, in keys of prefixes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheChange:
    """Everything is forgotten where `cleared`, then `removed` goes, then `stored` comes.

    Attributes:
        stored_blocks: blocks that the engine took in, in its own count: copies of a block that it has are counted too.
        removed_blocks: blocks that it gave up.
    """

    stored: Sequence[int] = ()
    removed: Sequence[int] = ()
    cleared: bool = False
    stored_blocks: int = 0
    removed_blocks: int = 0

    def pieces(self, most_keys: int) -> Iterator[CacheChange]:
        """The same change in steps of at most `most_keys` keys each."""
        if len(self.stored) + len(self.removed) <= most_keys:
            yield self
            return
        yield CacheChange(cleared=self.cleared, stored_blocks=self.stored_blocks, removed_blocks=self.removed_blocks)
        for start in range(0, len(self.removed), most_keys):
            yield CacheChange(removed=self.removed[start : start + most_keys])
        for start in range(0, len(self.stored), most_keys):
            yield CacheChange(stored=self.stored[start : start + most_keys])
