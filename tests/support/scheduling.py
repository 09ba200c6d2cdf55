"""How parallel workers share the tests: a file is one worker's, and so is everything that shares a fleet."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("tests/e2e/embedded/", "tests/integration/cluster/", "tests/integration/deployments/on_ray/")
"""Folders whose tests share one fleet, one cluster or one Ray."""

LONGEST_FIRST = (*TOGETHER, "tests/integration/loadtest/")
"""Folders that are begun first, so that no worker is left alone with a long one at the end."""


def scope_of(nodeid: str) -> str:
    """What runs on one worker, in one piece: a folder of `TOGETHER`, else a file."""
    return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid.split("::", 1)[0])


def position(nodeid: str) -> int:
    """Sort key of a test: the folders of `LONGEST_FIRST` in their order, then all others as they were collected."""
    places = (place for place, folder in enumerate(LONGEST_FIRST) if nodeid.startswith(folder))
    return next(places, len(LONGEST_FIRST))


class FleetScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """xdist's scheduling by scopes, with ours for its."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)
