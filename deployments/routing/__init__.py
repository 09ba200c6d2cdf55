"""Which replica serves a request. Pure Python: imports neither Ray nor HTTP nor vLLM."""

from deployments.routing.booking import Booking, Decision, Replica
from deployments.routing.learned import LearnedPool
from deployments.routing.policies import DEFAULT_POLICY, POLICIES, make_policy
from deployments.routing.router import Router
from deployments.routing.sharing import OpenBookings
from deployments.routing.work import Request

__all__ = [
    "DEFAULT_POLICY",
    "POLICIES",
    "Booking",
    "Decision",
    "LearnedPool",
    "OpenBookings",
    "Replica",
    "Request",
    "Router",
    "make_policy",
]
