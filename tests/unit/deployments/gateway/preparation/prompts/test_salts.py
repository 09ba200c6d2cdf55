from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.preparation.prompts.salts import client_salt, engine_salt


def test_no_salt_of_anybody_is_no_salt() -> None:
    assert engine_salt("", "") == ""


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_two_pairs_share_a_salt_only_where_they_are_equal(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (engine_salt(*one) == engine_salt(*other)) == (one == other)


@given(st.text(min_size=1), st.text())
def test_a_client_cannot_name_the_salt_that_it_was_given(tenant: str, client: str) -> None:
    assert engine_salt("another", engine_salt(tenant, client)) != engine_salt(tenant, client)


@given(st.text(), st.text(min_size=1))
def test_engines_take_every_salt(tenant: str, client: str) -> None:
    salt = engine_salt(tenant, client)
    assert salt.isalnum()
    assert len(salt) <= 128


@pytest.mark.parametrize(
    ("body", "salt"),
    [
        ({}, ""),
        ({"cache_salt": None}, ""),
        ({"cache_salt": ""}, ""),
        ({"cache_salt": "x"}, "x"),
        ({"cache_salt": 7}, None),
    ],
)
def test_what_the_client_sent(body: dict[str, Any], salt: str | None) -> None:
    assert client_salt(body) == salt
