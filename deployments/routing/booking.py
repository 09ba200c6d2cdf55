"""A request's place on a replica, from the choice until its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deployments.routing.lane import Waiting
from deployments.routing.table import Ints
from deployments.routing.work import Floats, Request


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
        rows: (n) of the candidates in the table; `row_names` are the names in all of its rows at that time.
        chosen: place of the chosen one among them.
        terms: by name, one number for each candidate; `price_s` is what was compared, where the policy prices.
        cached_tokens: of the prompt, that each candidate was expected to have in its cache.
        first_token_s: expected seconds to the first token on the chosen one.
        seconds: that the decision itself took.
    """

    rows: Ints
    row_names: tuple[str, ...]
    chosen: int
    terms: Mapping[str, Floats]
    cached_tokens: Floats
    first_token_s: float
    seconds: float

    def as_dict(self, most: int = 16) -> dict[str, object]:
        """For people: the chosen candidate first, then others by price."""
        price = self.terms.get("price_s")
        order = price.argsort().tolist() if price is not None else list(range(len(self.rows)))
        order = [self.chosen, *(place for place in order if place != self.chosen)][:most]
        return {
            "chosen": self._name(self.chosen),
            "expected_first_token_s": round(self.first_token_s, 6),
            "decision_s": round(self.seconds, 6),
            "candidates": [
                {
                    "replica": self._name(place),
                    "cached_tokens": int(self.cached_tokens[place]),
                    **{name: round(float(values[place]), 6) for name, values in self.terms.items()},
                }
                for place in order
            ],
        }

    def _name(self, place: int) -> str:
        return self.row_names[int(self.rows[place])]


@dataclass(eq=False, slots=True)
class Booking:
    """Work booked on a replica until it is released. `cached_tokens` is the predicted hit."""

    replica: Replica
    request: Request
    decision: Decision
    cached_tokens: int
    booked_at: float
    waiting: Waiting
    open: bool = True
    first_token_at: float | None = None
