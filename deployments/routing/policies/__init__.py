"""The routing policies by name. One file each; `seconds` is the project's own, the others are the field's."""

from __future__ import annotations

from collections.abc import Callable

from deployments.routing.policies.round_robin import RoundRobin
from deployments.routing.policies.seconds import Seconds
from deployments.routing.policy import Policy

DEFAULT_POLICY = "seconds"

POLICIES: dict[str, Callable[[], Policy]] = {
    "seconds": Seconds,
    "round-robin": RoundRobin,
}


def make_policy(name: str) -> Policy:
    """A new policy of that name. Raises ValueError, naming those there are, for an unknown one."""
    if name not in POLICIES:
        raise ValueError(f"unknown routing policy '{name}': use one of {', '.join(sorted(POLICIES))}")
    return POLICIES[name]()
