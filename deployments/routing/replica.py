"""What the router knows of one replica, and the work that is booked on it."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.routing.work import Work


@dataclass(eq=False)
class Replica:
    """One incarnation of a replica, as a candidate for requests of its model.

    Attributes:
        limit: requests that may be open on it at once.
        suspect_until: until this moment (the caller's clock, seconds) others are preferred: it has just failed.
    """

    name: str
    incarnation: str
    pool: str
    limit: int
    open_requests: int = 0
    open_work: float = 0.0
    suspect_until: float = 0.0
    leaving: bool = False

    def has_room(self, now: float) -> bool:
        return not self.leaving and self.open_requests < self.limit and now >= self.suspect_until

    def book(self, work: Work) -> Booking:
        """Counts `work` here from this moment on, so that a burst does not herd to one replica."""
        self.open_requests += 1
        self.open_work += work.amount
        return Booking(self, work)


@dataclass(eq=False)
class Booking:
    """Work booked on a replica until it is released. Releasing twice counts once."""

    replica: Replica
    work: Work
    open: bool = True

    def release(self) -> None:
        if not self.open:
            return
        self.open = False
        replica = self.replica
        replica.open_requests -= 1
        # Sums of floats drift: an idle replica holds exactly nothing.
        replica.open_work = replica.open_work - self.work.amount if replica.open_requests else 0.0
