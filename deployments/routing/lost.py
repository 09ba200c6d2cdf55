"""Prefixes that no replica holds any more, and whether they are asked for again: what room in a cache is worth.

A list of ghosts, as adaptive caches keep it (Megiddo and Modha: ARC, FAST 2003): here it weighs nothing but a share.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

SAMPLED_TOKENS = 256
"""One key in so many tokens is looked at: those that its number says, everywhere the same."""
MOST_GHOSTS = MOST_SEEN = 65_536
MEMORY = 2_000
"""Sampled keys over which the share is a mean."""
LEAST = 3
"""Sampled keys that have to be lost before anything is said."""


class LostPrefixes:
    """The sampled keys that were lost last, of those that were ever asked for here.

    What an engine's cache holds from before this router's time makes room first, and tells nothing of what room is
    worth to the prompts that come now.
    """

    def __init__(self, key_tokens: int) -> None:
        self._every = max(1, SAMPLED_TOKENS // key_tokens)
        self._ghosts: dict[int, None] = {}
        self._seen: dict[int, None] = {}
        self._lost = self._asked = 0.0

    def take(self, keys: Iterable[int], claims: Container[int]) -> list[bool]:
        """A replica has given up these keys. Lost are those that nobody claims.

        Returns of each sampled key whether it was ever asked for.
        """
        asked = []
        for key in self._sampled(keys):
            asked.append(key in self._seen)
            if not asked[-1]:
                continue
            self._lost = self._lost * (1 - 1 / MEMORY) + 1
            self._asked *= 1 - 1 / MEMORY
            if key not in claims:
                self._ghosts[key] = None
        while len(self._ghosts) > MOST_GHOSTS:
            del self._ghosts[next(iter(self._ghosts))]
        return asked

    def ask(self, keys: Iterable[int]) -> None:
        """A prompt with these keys has come."""
        for key in self._sampled(keys):
            self._seen[key] = None
            if key in self._ghosts:
                del self._ghosts[key]
                self._asked += 1
        while len(self._seen) > MOST_SEEN:
            del self._seen[next(iter(self._seen))]

    def _sampled(self, keys: Iterable[int]) -> list[int]:
        return [key for key in keys if key % self._every == 0]

    @property
    def asked_again(self) -> float:
        """Share of what is given up that is asked for again: 0 to 1."""
        return min(1.0, self._asked / self._lost) if self._lost >= LEAST else 0.0
