from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.proxy.recovery.retry_budget import LEAST_RETRIES, SHARE, RetryBudget, RetryClaim


def test_a_quiet_gateway_may_retry_a_few_requests_whatever_their_share() -> None:
    budget = RetryBudget()
    claims = [RetryClaim(budget) for _ in range(5)]
    assert [claim.take() for claim in claims] == [True] * LEAST_RETRIES + [False] * 2
    assert budget.refused == 2
    claims[0].release()
    assert claims[4].take(), "a retry that has ended makes room"


def test_a_fifth_of_the_active_requests_may_be_retries() -> None:
    budget = RetryBudget()
    claims = [RetryClaim(budget) for _ in range(100)]
    assert sum(claim.take() for claim in claims) == 20
    assert all(claim.take() for claim in claims[:20]), "a second retry of the same request is within its claim"


@given(st.lists(st.tuples(st.sampled_from(["come", "retry", "go"]), st.integers(0, 30)), max_size=100))
def test_the_budget_is_conserved_and_never_exceeded_when_it_is_taken(steps: list[tuple[str, int]]) -> None:
    budget = RetryBudget()
    claims: list[RetryClaim] = []
    for step, pick in steps:
        if step == "come":
            claims.append(RetryClaim(budget))
        elif claims:
            claim = claims[pick % len(claims)]
            if step == "retry":
                before, allowed = budget.retrying, max(LEAST_RETRIES, SHARE * budget.active)
                took = claim.take()
                assert budget.retrying <= max(before, allowed + 1)
                assert took or before >= allowed
            else:
                claim.release()
                claim.release()
                claims.remove(claim)
        assert budget.active == len(claims)
        assert 0 <= budget.retrying <= budget.active
    for claim in claims:
        claim.release()
    assert (budget.active, budget.retrying) == (0, 0)
