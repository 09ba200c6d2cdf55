from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.benchmarks.scoring.category_f1 import hierarchical_f1

PATHS = st.lists(st.sampled_from("ABC"), min_size=1, max_size=4).map(" > ".join)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("A > B > C", "A > B > C")], 1.0),
        ([("A > B", "A > B > C")], 2 * (2 / 2) * (2 / 3) / (2 / 2 + 2 / 3)),
        ([("A > X > C", "A > B > C")], 1 / 3),
        ([("X > B > C", "A > B > C")], 0.0),
        ([(None, "A > B")], 0.0),
        ([("A > B", "A > B"), (None, "A > B")], 0.5),
        ([(" A  >  B ", "A > B")], 1.0),
        ([("A>B", "A > B")], 0.0),
        ([("", "A")], 0.0),
        ([], 0.0),
    ],
)
def test_worked_examples(pairs: list[tuple[str | None, str]], expected: float) -> None:
    assert hierarchical_f1(pairs) == pytest.approx(expected)


@given(st.lists(st.tuples(st.none() | PATHS, PATHS), min_size=1))
def test_between_nothing_and_all_and_symmetric(pairs: list[tuple[str | None, str]]) -> None:
    value = hierarchical_f1(pairs)
    assert 0 <= value <= 1
    assert (value == 1) == all(answer == truth for answer, truth in pairs)
    read = [(answer, truth) for answer, truth in pairs if answer is not None]
    assert hierarchical_f1(read) == pytest.approx(hierarchical_f1([(truth, answer) for answer, truth in read]))
