"""How parallel workers share the tests: a file is one worker's, and so is everything that shares a fleet."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

FIRST = ("tests/e2e/embedded/", "tests/integration/cluster/", "tests/integration/deployments/on_ray/")
"""Folders whose tests share one fleet, one cluster or one Ray. They take longest, so they are begun first."""


def scope_of(nodeid: str) -> str:
    """What runs on one worker, in one piece: a folder of `FIRST`, else a file."""
    return next((folder for folder in FIRST if nodeid.startswith(folder)), nodeid.split("::", 1)[0])


def position(nodeid: str) -> int:
    """Sort key of a test: the folders of `FIRST` in their order, then all others as they were collected."""
    return next((place for place, folder in enumerate(FIRST) if nodeid.startswith(folder)), len(FIRST))


class FleetScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """xdist's scheduling by scopes, with ours for its."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)
