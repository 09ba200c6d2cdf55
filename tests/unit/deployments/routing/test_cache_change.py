from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deployments.routing.cache_change import CacheChange
from deployments.routing.index import PrefixIndex

KEYS = st.lists(st.integers(0, 40), unique=True)


@given(KEYS, KEYS, KEYS, st.booleans(), st.integers(1, 7))
def test_pieces_come_to_the_same_as_the_whole(
    held: list[int], removed: list[int], stored: list[int], cleared: bool, most: int
) -> None:
    change = CacheChange(stored, removed, cleared, 5, 3)
    indexes = [PrefixIndex("m"), PrefixIndex("m")]
    for index, changes in zip(indexes, ([change], list(change.pieces(most))), strict=True):
        index.add(0, 100)
        index.change(0, CacheChange(held))
        for one in changes:
            assert len(changes) == 1 or len(one.stored) + len(one.removed) <= most
            index.change(0, one)
    whole, pieces = indexes
    assert whole.held(0) == pieces.held(0)
    assert whole.displaces(0) == pieces.displaces(0)
    assert whole.keys == pieces.keys == len(whole.held(0))
