from __future__ import annotations

import pytest

from deployments.gateway.proxy.recovery.replica_start import ReplicaStart


def test_the_deadline_is_the_starts_and_then_the_queues() -> None:
    start = ReplicaStart(120, 900)
    assert start.deadline(10.0) == 910
    assert start.observe(True, 400.0, 10.0)
    assert not start.observe(True, 401.0, 10.0)
    assert (start.deadline(10.0), start.deadline(500.0)) == (520, 620)
    assert start.observe(False, 700.0, None)
    assert start.deadline(650.0) == 1550


def test_a_start_is_expected_to_last_as_long_as_the_last_one() -> None:
    start = ReplicaStart(120, 900)
    assert start.left_s(50.0, 10.0) == 860
    assert start.left_s(50.0, None) == 900
    start.observe(True, 70.0, 10.0)
    start.observe(False, 200.0, None)
    assert start.left_s(220.0, 200.0) == 40
    assert start.left_s(500.0, 200.0) == 1


@pytest.mark.parametrize("is_empty", [True, False])
def test_without_a_queue_timeout_requests_wait_for_ever(is_empty: bool) -> None:
    start = ReplicaStart(None, 900)
    start.observe(not is_empty, 1.0, None)
    assert start.deadline(5.0) is None


def test_a_start_never_gets_less_time_than_the_queue() -> None:
    assert ReplicaStart(120, 10).deadline(0.0) == 120
