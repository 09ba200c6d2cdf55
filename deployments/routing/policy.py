"""The routing policy protocol and its registry. One file a policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from deployments.routing.least_work import LeastWork
from deployments.routing.replica import Replica
from deployments.routing.round_robin import RoundRobin
from deployments.routing.work import Work


class Policy(Protocol):
    """Chooses among the replicas of one model, of all its pools. One instance a model."""

    def choose(self, work: Work, candidates: Sequence[Replica]) -> Replica:
        """One of `candidates`: never empty, and each with room."""


POLICIES: dict[str, Callable[[], Policy]] = {"least-work": LeastWork, "round-robin": RoundRobin}


def make_policy(name: str) -> Policy:
    """A new policy of that name. Raises ValueError, naming those there are, for an unknown one."""
    if name not in POLICIES:
        raise ValueError(f"unknown routing policy '{name}': use one of {', '.join(sorted(POLICIES))}")
    return POLICIES[name]()
