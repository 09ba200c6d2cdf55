"""Small admissions, for what is tested of queues and bookings."""

from __future__ import annotations

from deployments.gateway.admission.model_admission import Admission
from deployments.routing import Replica, Request, Router
from deployments.routing.seeds import UNKNOWN

REQUEST = Request(tokens=10)


def door(max_queue: float = 10, timeout_s: float | None = 5, **limits: int) -> Admission:
    """A door to replicas of these names and limits."""
    made = Admission(Router("m"), max_queue, timeout_s)
    come(made, **(limits or {"a": 1}))
    return made


def come(admission: Admission, **limits: int) -> None:
    for name, limit in limits.items():
        admission.router.add(name, f"{name}1", "pool", limit, UNKNOWN)
    admission.grant()


def go(admission: Admission, name: str) -> None:
    admission.router.remove(f"{name}1")


def replica(admission: Admission, name: str) -> Replica:
    return admission.router.replicas[f"{name}1"]


def nothing_open(admission: Admission) -> bool:
    table = admission.router.table
    return not (table.open_requests.any() or table.waiting_work.any() or table.open_tokens.any())
