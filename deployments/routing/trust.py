"""How far one replica's predicted hits are to be believed, by what its engine then says it found."""

from __future__ import annotations

MEMORY = 0.95
ADVANCE_TOKENS = 1000
"""Believed in advance, so that the first error does not decide."""


class Trust:
    """The share of predicted tokens that were there, in a running mean weighted by their number."""

    def __init__(self) -> None:
        self.belief = 1.0
        """In what its events told: less while some of them are missing."""
        self._predicted = 0.0
        self._found = 0.0

    @property
    def share(self) -> float:
        """What a predicted token counts: at most 1, however many more were there than predicted."""
        return self.belief * min(1.0, (self._found + ADVANCE_TOKENS) / (self._predicted + ADVANCE_TOKENS))

    def compare(self, predicted: int, actual: int) -> None:
        """A request was predicted to find so many tokens, and found so many."""
        self._predicted = MEMORY * self._predicted + predicted
        self._found = MEMORY * self._found + min(predicted, actual)
