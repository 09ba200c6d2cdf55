from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.preparation.workers.fair_queue import FairQueue


def test_tenants_take_turns_however_many_entries_one_has() -> None:
    queue: FairQueue[str] = FairQueue()
    for tenant, entry in (("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")):
        queue.push(tenant, entry)
    assert [queue.pop() for _ in range(6)] == ["a1", "b1", "c1", "a2", "b2", "a3"]
    with pytest.raises(KeyError):
        queue.pop()


@given(st.lists(st.sampled_from("abc") | st.none()))
def test_each_entry_comes_out_once_and_a_tenants_own_in_order(steps: list[str | None]) -> None:
    """None: one entry is taken out."""
    queue: FairQueue[tuple[str, int]] = FairQueue()
    pushed: list[tuple[str, int]] = []
    popped: list[tuple[str, int]] = []
    for number, tenant in enumerate(steps):
        if tenant is not None:
            pushed.append((tenant, number))
            queue.push(tenant, (tenant, number))
        elif len(queue):
            popped.append(queue.pop())
        assert len(queue) == len(pushed) - len(popped)
    while len(queue):
        popped.append(queue.pop())
    assert Counter(popped) == Counter(pushed)
    for tenant in "abc":
        assert [entry for entry in popped if entry[0] == tenant] == [entry for entry in pushed if entry[0] == tenant]
