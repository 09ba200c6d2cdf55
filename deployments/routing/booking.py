"""A request's place on a replica, from the choice until its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deployments.routing.lane import Waiting
from deployments.routing.work import Request


@dataclass(eq=False, slots=True)
class Replica:
    """One incarnation of a replica as the router knows it. `row` is its place in the table."""

    name: str
    incarnation: str
    pool: str
    row: int


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a request went where it went.

    Attributes:
        candidates: names of the replicas that were compared.
        chosen: place of the chosen one among them.
        terms: by name, one number for each candidate; `price_s` is what was compared, where the policy prices.
        cached_tokens: of the prompt, that each candidate was expected to have in its cache.
        first_token_s: expected seconds to the first token on the chosen one.
        seconds: that the decision itself took.
    """

    candidates: Sequence[str]
    chosen: int
    terms: Mapping[str, Sequence[float]]
    cached_tokens: Sequence[float]
    first_token_s: float
    seconds: float

    def as_dict(self, most: int = 16) -> dict[str, object]:
        """For people: the chosen candidate first, then others by price."""
        order = list(range(len(self.candidates)))
        if price := self.terms.get("price_s"):
            order.sort(key=price.__getitem__)
        order = [self.chosen, *(place for place in order if place != self.chosen)][:most]
        return {
            "chosen": self.candidates[self.chosen],
            "expected_first_token_s": round(self.first_token_s, 6),
            "decision_s": round(self.seconds, 6),
            "candidates": [
                {
                    "replica": self.candidates[place],
                    "cached_tokens": int(self.cached_tokens[place]),
                    **{name: round(values[place], 6) for name, values in self.terms.items()},
                }
                for place in order
            ],
        }


@dataclass(eq=False, slots=True)
class Booking:
    """Work booked on a replica until it is released.

    Attributes:
        cached_tokens: the predicted hit.
        first_token_s: expected seconds to the first token.
        beside: answers that were under way there at its first token, its own not counted.
        decided_in_s: that the decision took.
        decision: why it went there, where that is kept: see `router.EXPLAIN_EVERY_S`.
    """

    replica: Replica
    request: Request
    cached_tokens: int
    booked_at: float
    waiting: Waiting
    first_token_s: float
    decided_in_s: float = 0.0
    decision: Decision | None = None
    open: bool = True
    first_token_at: float | None = None
    beside: float = 0.0
