"""Whether a fleet's replicas can be placed at all, before Serve waits for ever for those that cannot."""

from __future__ import annotations

import time

from cluster.fleet import Fleet
from cluster.loading import FleetError
from cluster.nodes import node_kinds
from cluster.shortage import shortages
from deployments.local_ray import join_or_start

WAIT_S = 45.0
"""For nodes that are about to join."""
LOOK_EVERY_S = 1.0


class NoRoom(FleetError):
    """Some replica fits on no node that is there or may come. The message says which, and what is missing."""


def join_with_room(fleet: Fleet, log_to_driver: bool = False) -> None:
    """Joins Ray, or starts one here, which no further node will join. Raises NoRoom."""
    started = join_or_start(log_to_driver=log_to_driver)
    require_room(fleet, 0 if started else WAIT_S)


def require_room(fleet: Fleet, wait_s: float = WAIT_S) -> None:
    """Of the cluster that this process is connected to. Raises NoRoom where it is certain that there is none."""
    deadline = time.monotonic() + wait_s
    while (kinds := node_kinds()) is not None and (found := shortages(fleet, kinds)):
        if time.monotonic() > deadline:
            lines = "\n  ".join(found)
            raise NoRoom(
                f"fleet '{fleet.name}' does not fit on this Ray cluster:\n  {lines}\n"
                "add such nodes with their labels and resources (docs/deploy.md), or change the fleet file"
            )
        time.sleep(LOOK_EVERY_S)
