from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loadtest.plots.axis import Axis, told

positive = st.floats(1e-6, 1e6)


@given(positive, positive, positive, positive, st.booleans())
def test_values_keep_their_order_and_stay_within(
    low: float, more: float, a: float, b: float, logarithmic: bool
) -> None:
    axis = Axis.around(low, low + more, 50, 400, logarithmic)
    small, large = sorted((a, b))
    assert 50 <= axis.at(small) <= axis.at(large) <= 400 + 1e-9


@given(positive, positive, st.booleans())
@example(879609.9999999999, 1e-06, False)
def test_ticks_are_few_and_lie_on_the_axis(low: float, more: float, logarithmic: bool) -> None:
    axis = Axis.around(low, low + more, 0, 1, logarithmic)
    ticks = axis.ticks()
    assert ticks == sorted(ticks)
    assert len(ticks) >= 2
    assert len(ticks) <= (2 * 13 if logarithmic else 8)
    slack = 1e-6 * (axis.high - axis.low)
    assert all(axis.low - slack <= tick <= axis.high + slack for tick in ticks)


def test_one_value_has_an_axis() -> None:
    assert Axis.around(3, 3, 0, 10).at(3) == 0


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.30000000000000004, "0.3"), (1351.48, "1,351"), (12_777.4, "12,777"), (2_500_000, "2.5M"), (0.0, "0"), (7, "7")],
)
def test_numbers_are_told_without_powers_of_ten(value: float, said: str) -> None:
    assert told(value) == said
