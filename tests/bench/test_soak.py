"""What takes too long for CI: benches whose figures must be within limits."""

from __future__ import annotations

import pytest

from tests.bench import chaos, deaths, soak

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


def test_a_hundred_thousand_requests_leave_no_booking_and_no_memory_behind_and_eject_nobody() -> None:
    seen = soak.run()
    assert (seen["open at the end"], seen["ejections"]) == (0, 0)


def test_killed_engines_actors_and_nodes_cost_no_answer() -> None:
    seen = chaos.run()
    assert seen["engines killed"] > 0 < seen["nodes killed"]
    assert (seen["different"], seen["failed"]) == (0, 0)
    assert seen["answered whole and identical"] == seen["requests"]


def test_only_what_carries_a_connection_costs_it_when_it_dies() -> None:
    lost = deaths.run()
    carriers = {death.name for death in deaths.DEATHS if death.carries_connections}
    assert {name: count for name, count in lost.items() if count and name not in carriers} == {}
    assert all(lost[name] <= deaths.MOST_OPEN for name in carriers)
