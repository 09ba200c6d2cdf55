from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.bodies.byte_budget import ByteBudget, ByteClaim
from deployments.gateway.preparation.bodies.json_body import JsonSettings
from deployments.gateway.request.reading import ParsedRequest, read_json
from deployments.gateway.request.route_bodies import RouteBodies
from tests.support.http import arriving_request
from tests.support.preparation import PREPARER

MOST = 10_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)

NO_ROUTE = RouteBodies(path="/not/a/route")


async def read(*pieces: bytes, **headers: str) -> ParsedRequest:
    request, claim = arriving_request(pieces, headers), ByteClaim(ByteBudget(2**30))
    return await read_json(request, PREPARER, JsonSettings(NO_ROUTE), MOST, claim)


async def error(*pieces: bytes, **headers: str) -> ApiError:
    with pytest.raises(ApiError) as raised:
        await read(*pieces, **headers)
    return raised.value


async def test_the_body_stays_the_bytes_that_came() -> None:
    raw = b'{ "model": "m",  "stream": true, "prompt": "xxxx", "max_tokens": 3, "unknown": 1.50 }'
    parsed = await read(raw[:7], raw[7:20], raw[20:])
    assert (parsed.model, parsed.request.tokens, parsed.amount, parsed.length) == ("m", 1, 4, len(raw))
    assert parsed.request.streams
    assert parsed.body() == raw
    assert parsed.content_type == "application/json"
    parsed.close()


@pytest.mark.parametrize(
    ("raw", "message", "param"),
    [
        (b"", "the body is empty; send a JSON object", None),
        (b"{", "not valid JSON", None),
        (b"{'model': 'm'}", "not valid JSON", None),
        (b'{"model": "\xff"}', "not valid JSON", None),
        (b'{"model": "m"} x', "not valid JSON", None),
        (b"[]", "a JSON array; send an object", None),
        (b'"model"', "a JSON string; send an object", None),
        (b"null", "a JSON null; send an object", None),
        (b"3", "a JSON number; send an object", None),
        (b"{}", "must provide a `model`", "model"),
        (b'{"model": ""}', "must provide a `model`", "model"),
        (b'{"model": null}', "must provide a `model`", "model"),
        (b'{"model": 7}', "`model` is a JSON number; send a string", "model"),
        (b'{"model": ["m"]}', "`model` is a JSON array; send a string", "model"),
        (b'{"model": "m", "stream": "yes"}', "`stream` is a JSON string; send true or false", "stream"),
        (b'{"model": "m", "stream": 1}', "`stream` is a JSON number", "stream"),
    ],
)
async def test_bodies_that_cannot_be_used(raw: bytes, message: str, param: str | None) -> None:
    refused = await error(raw)
    assert (refused.status, refused.param) == (400, param)
    assert message in refused.message


async def test_nesting_without_end() -> None:
    deep = b'{"model":"m","prompt":' + b"[" * 4000 + b"]" * 4000 + b"}"
    assert (await error(deep)).status == 400


@pytest.mark.parametrize("depth", [100, 400, 700, 950])
async def test_nesting_that_the_parser_still_takes(depth: int) -> None:
    raw = b'{"model":"m","prompt":' + b"[" * depth + b"]" * depth + b"}"
    try:
        parsed = await read(raw)
    except ApiError as refused:
        assert refused.status == 400  # noqa: PT017  # either will do, but nothing else
    else:
        assert parsed.model == "m"


async def test_a_body_above_the_limit() -> None:
    assert (await error(**{"Content-Length": str(MOST + 1)})).status == 413, "refused unread"
    refused = await error(b"x" * MOST, b"x")
    assert (refused.status, refused.code) == (413, "request_too_large")
    assert "MiB; send a smaller one" in refused.message


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
async def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        assert (await read(raw)).model
    except ApiError as refused:
        assert refused.status == 400  # noqa: PT017


@given(st.dictionaries(st.sampled_from(["messages", "prompt", "tools", "input", "max_tokens", "n"]), JSON, max_size=4))
async def test_the_engine_judges_what_is_neither_malformed_nor_too_much_for_it(
    fields: dict[str, Any],
) -> None:
    raw = json.dumps({"model": "m", **fields}).encode()
    try:
        assert (await read(raw)).body() == raw
    except ApiError as refused:
        reasons = ("not valid JSON", " must be ", "its engine would stand still")  # the first is of NaN
        assert any(reason in refused.message for reason in reasons)  # noqa: PT017
