from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.request.headers import DEADLINE, PRIORITY, SESSION, RoutingHints, read_hints


def test_nothing_said_is_nothing_wished() -> None:
    assert read_hints({}, 3) == RoutingHints(None, None, 3)


def test_what_is_said() -> None:
    headers = {DEADLINE: "1500.5", SESSION: "agent 7 / é", PRIORITY: "-2"}
    assert read_hints(headers, 3) == RoutingHints(1.5005, "agent 7 / é", -2)


@pytest.mark.parametrize(("asked", "own"), [("2", 2), ("5", 3), ("+5", 3), ("-999999", -999999)])
def test_priority_is_only_ever_lowered(asked: str, own: int) -> None:
    assert read_hints({PRIORITY: asked}, 3).priority == own


@pytest.mark.parametrize(
    ("header", "given"),
    [
        *(
            (DEADLINE, bad)
            for bad in ("", "0", "0.0", "-1", "1e3", "nan", "inf", " 5", "5 ms", "\u0665", "1.", "1" * 13)
        ),
        *((SESSION, bad) for bad in ("", "x" * 257, "a\tb", "a\x7f", "\udcff")),
        *((PRIORITY, bad) for bad in ("", "high", "1.5", "--1", "9" * 7, "\u0665")),
    ],
)
def test_what_cannot_be_read_names_its_header(header: str, given: str) -> None:
    with pytest.raises(ApiError) as refused:
        read_hints({header: given}, 0)
    assert (refused.value.status, refused.value.param) == (400, header)


@given(st.dictionaries(st.sampled_from([DEADLINE, SESSION, PRIORITY]), st.text(max_size=300)), st.integers(-100, 100))
def test_whatever_is_said_is_read_or_refused(headers: dict[str, str], own: int) -> None:
    try:
        hints = read_hints(headers, own)
    except ApiError as refused:
        assert refused.status == 400  # noqa: PT017
        return
    assert hints.priority <= own
    assert hints.deadline_s is None or 0 < hints.deadline_s <= 1e9
    assert hints.session is None or len(hints.session) <= 256


def test_a_deadline_that_has_passed() -> None:
    RoutingHints().check(1e9)
    RoutingHints(deadline_s=2).check(1.9)
    with pytest.raises(ApiError, match="x-deadline-ms of 2000 ms passed") as refused:
        RoutingHints(deadline_s=2).check(2)
    answer = refused.value.response()
    assert (answer.status, refused.value.code, answer.headers["x-should-retry"]) == (504, "deadline_exceeded", "false")
