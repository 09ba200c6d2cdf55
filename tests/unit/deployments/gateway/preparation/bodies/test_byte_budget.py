from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.bodies.byte_budget import ByteBudget, ByteClaim


def test_an_announced_length_is_taken_before_a_byte_is_read() -> None:
    budget = ByteBudget(100)
    claim = ByteClaim(budget)
    claim.promise(60)
    with pytest.raises(ApiError, match="try again") as raised:
        ByteClaim(budget).promise(41)
    assert (raised.value.status, raised.value.retry_after_s) == (503, 1)
    claim.arrive(60)
    assert budget.in_flight == 60
    claim.release()
    assert budget.in_flight == 0


def test_bytes_that_nobody_announced_are_taken_as_they_come() -> None:
    budget = ByteBudget(100)
    claim = ByteClaim(budget)
    claim.promise(None)
    claim.arrive(70)
    with pytest.raises(ApiError):
        claim.arrive(31)
    claim.release()
    claim.release()
    assert budget.in_flight == 0


@given(st.lists(st.tuples(st.none() | st.integers(0, 60), st.lists(st.integers(0, 40), max_size=4)), max_size=6))
def test_the_budget_is_never_exceeded_and_all_of_it_comes_back(
    requests: list[tuple[int | None, list[int]]],
) -> None:
    budget = ByteBudget(100)
    claims = []
    for length, pieces in requests:
        claims.append(ByteClaim(budget))
        with suppress(ApiError):
            claims[-1].promise(length)
            for piece in pieces:
                claims[-1].arrive(piece)
        assert 0 <= budget.in_flight <= budget.limit
    for claim in claims:
        claim.release()
    assert budget.in_flight == 0


def test_a_tenant_that_takes_all_it_gets_leaves_room_for_the_others() -> None:
    budget = ByteBudget(100, is_shared=True)
    for _ in range(50):
        ByteClaim(budget, "greedy").promise(1)
    with pytest.raises(ApiError, match="of yours") as raised:
        ByteClaim(budget, "greedy").promise(1)
    assert (raised.value.status, budget.in_flight) == (503, 50)
    other = ByteClaim(budget, "other")
    other.promise(25)
    with pytest.raises(ApiError):
        other.reserve(1)
    ByteClaim(budget, "third").promise(12)
    other.release()
    assert budget.in_flight == 62


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60)), max_size=20))
def test_a_shared_budget_never_runs_full_and_all_of_it_comes_back(requests: list[tuple[str, int]]) -> None:
    budget = ByteBudget(100, is_shared=True)
    claims = []
    for tenant, length in requests:
        claims.append(ByteClaim(budget, tenant))
        with suppress(ApiError):
            claims[-1].promise(length)
        assert budget.in_flight < budget.limit
    for claim in claims:
        claim.release()
    assert budget.in_flight == 0
    ByteClaim(budget, "a").promise(50)
