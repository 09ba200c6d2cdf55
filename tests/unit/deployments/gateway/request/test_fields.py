"""A field that engines lack, or that is not the client's, is dropped and named, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.request.fields import (
    MOST_HEADER,
    WITHHELD,
    drop_unknown,
    header_value,
    is_known,
    refuse_unknown,
)
from tests.support.routes import FIELDS

CHAT = "/v1/chat/completions"


def test_known_fields_stay_and_all_others_go() -> None:
    body = {"model": "m", "invented": 1, "messages": [], "priority": 5, "kv_transfer_params": {}, "temperature": 0}
    assert drop_unknown(FIELDS[CHAT], body) == ["invented", "priority", "kv_transfer_params"]
    assert body == {"model": "m", "messages": [], "temperature": 0}
    assert drop_unknown(FIELDS[CHAT], body) == []


@pytest.mark.parametrize("route", [*FIELDS, "/a/route/without/a/list"])
@pytest.mark.parametrize("name", sorted(WITHHELD))
def test_what_outranks_others_or_reaches_what_is_theirs_is_never_the_clients(route: str, name: str) -> None:
    assert not is_known(FIELDS.get(route, frozenset()), name)


def test_fields_differ_by_route() -> None:
    assert is_known(FIELDS["/v1/completions"], "prompt")
    assert not is_known(FIELDS[CHAT], "prompt")
    assert is_known(FIELDS["/v1/audio/transcriptions"], "timestamp_granularities[]")
    assert not is_known(FIELDS["/v1/audio/translations"], "timestamp_granularities[]")
    assert is_known(frozenset(), "anything")


def test_a_refused_field_is_the_errors_param() -> None:
    with pytest.raises(ApiError, match="has no field `invented` here") as raised:
        refuse_unknown(CHAT, ["invented", "other"])
    assert (raised.value.status, raised.value.param, raised.value.code) == (400, "invented", "unknown_field")
    refuse_unknown(CHAT, [])


@pytest.mark.parametrize(
    ("names", "value"),
    [
        ([], ""),
        (["a", "b-c", "d[e]"], "a, b-c, d[e]"),
        (["a", "b\r\nSet-Cookie: x", "c"], "a, ..."),
        (["naïve"], "..."),
        (["a b"], "..."),
        (["a,b"], "..."),
        ([""], "..."),
        (["x" * 65], "..."),
    ],
)
def test_the_header_lists_names_that_a_header_can_hold(names: list[str], value: str) -> None:
    assert header_value(names) == value


@given(st.lists(st.text(max_size=70), max_size=60))
def test_the_header_is_always_short_and_printable(names: list[str]) -> None:
    value = header_value(names)
    assert len(value) <= MOST_HEADER + 5
    assert value.isascii()
    assert value.isprintable()
