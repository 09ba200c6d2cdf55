from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deployments.routing.trust import Trust


def test_who_finds_what_was_predicted_is_believed() -> None:
    trust = Trust()
    for _ in range(50):
        trust.compare(4000, 4000)
        trust.compare(0, 4000)
    assert trust.share == 1.0


def test_who_finds_nothing_is_soon_believed_nothing_and_comes_back() -> None:
    trust = Trust()
    for _ in range(5):
        trust.compare(4000, 0)
    assert trust.share < 0.1
    for _ in range(100):
        trust.compare(4000, 4000)
    assert trust.share > 0.9


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6))), st.floats(0, 1))
def test_a_share_is_a_share(found: list[tuple[int, int]], belief: float) -> None:
    trust = Trust()
    trust.belief = belief
    for predicted, actual in found:
        trust.compare(predicted, actual)
        assert 0 <= trust.share <= belief
