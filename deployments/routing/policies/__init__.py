"""The routing policies by name. One file each; `seconds` is the project's own, the others are the field's."""

from __future__ import annotations

from collections.abc import Callable

from deployments.routing.policies.bounded_hash import BoundedHash
from deployments.routing.policies.dynamo_cost import DynamoCost
from deployments.routing.policies.least_outstanding import LeastOutstanding
from deployments.routing.policies.llm_d_scorers import LlmDScorers
from deployments.routing.policies.lmetric import LMetric
from deployments.routing.policies.power_of_two import PowerOfTwo
from deployments.routing.policies.round_robin import RoundRobin
from deployments.routing.policies.seconds import Seconds
from deployments.routing.policies.session_hash import SessionHash
from deployments.routing.policies.sglang_cache_aware import SglangCacheAware
from deployments.routing.policy import Policy

DEFAULT_POLICY = "seconds"

POLICIES: dict[str, Callable[[], Policy]] = {
    "seconds": Seconds,
    "round-robin": RoundRobin,
    "least-outstanding": LeastOutstanding,
    "power-of-two": PowerOfTwo,
    "session-hash": SessionHash,
    "bounded-hash": BoundedHash,
    "sglang-cache-aware": SglangCacheAware,
    "dynamo-cost": DynamoCost,
    "lmetric": LMetric,
    "llm-d-scorers": LlmDScorers,
}


def make_policy(name: str) -> Policy:
    """A new policy of that name. Raises ValueError, naming those there are, for an unknown one."""
    if name not in POLICIES:
        raise ValueError(f"unknown routing policy '{name}': use one of {', '.join(sorted(POLICIES))}")
    return POLICIES[name]()
