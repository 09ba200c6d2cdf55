"""How far one replica's predicted hits are to be believed, by what its engine then says it found."""

from __future__ import annotations

MEMORY = 0.95
INEXACT = 0.5
"""Of a replica whose events have not all come, until its own answers tell better."""


class Trust:
    """The share of predicted tokens that were there, in a running mean weighted by their number."""

    def __init__(self) -> None:
        self.exact = True
        self.predicted_tokens = 0
        self.actual_tokens = 0
        self.wrong_tokens = 0
        """Sum of the absolute errors."""
        self._predicted = 0.0
        self._found = 0.0

    @property
    def share(self) -> float:
        """What a predicted token counts: at most 1, however many more were there than predicted."""
        believed = 1.0 if self.exact else INEXACT
        # One prediction's worth of belief in advance, so that the first error does not decide.
        prior = 1000.0
        return min(1.0, (self._found + believed * prior) / (self._predicted + prior))

    def compare(self, predicted: int, actual: int) -> None:
        """A request was predicted to find so many tokens, and found so many."""
        self.predicted_tokens += predicted
        self.actual_tokens += actual
        self.wrong_tokens += abs(predicted - actual)
        self._predicted = MEMORY * self._predicted + predicted
        self._found = MEMORY * self._found + min(predicted, actual)
