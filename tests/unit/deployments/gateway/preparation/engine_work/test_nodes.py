"""Bodies of too many objects and arrays are refused before they are decoded."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.engine_work import nodes
from deployments.gateway.preparation.engine_work.nodes import MOST_NODES, check_nodes

JSON = st.recursive(
    st.none() | st.text(st.sampled_from('[]{}"\\ax')) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.sampled_from('["\\')), inner, max_size=3),
)


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user"}] * MOST_NODES},
        {"x": [[]] * MOST_NODES},
        {"x": {str(number): {} for number in range(MOST_NODES)}},
        {"x": [[[]] * 1000] * 40},
    ],
)
def test_a_body_of_too_many_objects_and_arrays_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match="stand still for all others") as raised:
        check_nodes(json.dumps(body).encode())
    assert (raised.value.status, raised.value.code) == (400, "body_too_complex")


def test_long_but_plain_bodies_pass() -> None:
    check_nodes(json.dumps({"messages": [{"content": "x" * 10_000_000}], "prompt": [1] * 1_000_000}).encode())
    check_nodes(json.dumps({"x": '[{"\\\\' * 1_000_000}).encode())
    check_nodes(b"[" * MOST_NODES + b"]" * MOST_NODES)


@given(JSON)
def test_objects_and_arrays_are_counted_without_being_decoded(value: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        count = _count(value)
        raw = json.dumps(value).encode()
        patch.setattr(nodes, "MOST_NODES", count)
        check_nodes(raw)
        patch.setattr(nodes, "MOST_NODES", count - 1)
        if count:
            with pytest.raises(ApiError):
                check_nodes(raw)


def _count(value: Any) -> int:
    if isinstance(value, dict | list):
        return 1 + sum(map(_count, value.values() if isinstance(value, dict) else value))
    return 0


@pytest.mark.parametrize("raw", [b'"' + b'\\"[' * 1_000_000, b"[" + b'"[' * 1_000_001, b'[{"' + b"\\" * 3_000_000])
def test_hostile_texts_are_read_once(raw: bytes) -> None:
    before = time.thread_time()
    with suppress(ApiError):
        check_nodes(raw)
    assert time.thread_time() - before < 2
