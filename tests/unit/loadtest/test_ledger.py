from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loadtest.client import Outcome
from loadtest.ledger import Ledger


def outcome(place: int, index: int = 0) -> Outcome:
    return Outcome(place, index, 0.0, 1.0, 1)


def test_longest_first_within_a_pass_and_never_across() -> None:
    work = [1.0, 3.0, 2.0]
    ledger = Ledger()
    items = ledger.issue([90, 91, 92, 93, 94, 95], [0, 1, 2, 2, 0, 1], work.__getitem__, 3)
    assert items == [(1, 1), (2, 2), (0, 0), (5, 1), (3, 2), (4, 0)]


def test_a_second_query_goes_on_counting() -> None:
    ledger = Ledger()
    ledger.issue([90], [0], lambda _: 1.0, 1)
    assert ledger.issue([91], [0], lambda _: 1.0, 1) == [(1, 0)]
    assert ledger.admit([outcome(1)])[0][0] == 91


def test_a_later_outcome_of_the_same_sample_is_dropped() -> None:
    ledger = Ledger()
    ledger.issue([90, 91], [0, 1], lambda _: 1.0, 2)
    first = outcome(0)
    assert ledger.admit([first, outcome(0)]) == [(90, first)]
    assert ledger.admit([outcome(0)]) == []
    assert ledger.open == 1


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12), st.integers(1, 4), st.randoms())
def test_every_sample_is_ordered_once_and_passes_stay_whole(work: list[float], passes: int, random: object) -> None:
    indexes: list[int] = []
    for _ in range(passes):
        order = list(range(len(work)))
        random.shuffle(order)  # type: ignore[attr-defined]
        indexes += order
    items = Ledger().issue(range(1000, 1000 + len(indexes)), indexes, work.__getitem__, len(work))
    assert sorted(place for place, _ in items) == list(range(len(indexes)))
    assert all(indexes[place] == index for place, index in items)
    for number in range(passes):
        part = items[number * len(work) : (number + 1) * len(work)]
        assert {place // len(work) for place, _ in part} == {number}
        sizes = [work[index] for _, index in part]
        assert sizes == sorted(sizes, reverse=True)
