"""Bodies within the limits of an engine's server pass, and those beyond are refused with a reason."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.engine_work import check_body, check_rendering
from deployments.gateway.preparation.engine_work.constraints import MOST_BYTES, MOST_PATTERN, MOST_RANGES, measured
from deployments.gateway.preparation.engine_work.sequences import MOST_SEQUENCES
from deployments.gateway.preparation.engine_work.tokenising import MOST_IDS
from deployments.gateway.preparation.engine_work.values import MOST_ELEMENTS, MOST_MEMBERS, SMALL_BYTES, check_values
from tests.support.routes import prompt_of

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
HI = [{"role": "user", "content": "hi"}]


def _schema(schema: dict[str, Any]) -> dict[str, Any]:
    return {"messages": HI, "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}}


def _tool(schema: dict[str, Any], **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": schema, **function}}


SLOW_PATTERN = {"type": "string", "pattern": "^([a-z]{1,100}){1,100}$"}
NUMBERS = {"properties": {str(number): {"minimum": 1} for number in range(MOST_RANGES + 1)}}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "texts in arrays": ({"messages": HI, "include": ["x"] * (MOST_ELEMENTS + 1)}, "texts and numbers in arrays"),
    "ids and one text": ({"prompt": [1] * MOST_ELEMENTS + ["x"]}, "texts and numbers in arrays"),
    "ids below zero": ({"stop_token_ids": [-1] * (MOST_ELEMENTS + 1)}, "texts and numbers in arrays"),
    "ids elsewhere": ({"tools": [1] * (MOST_ELEMENTS + 1)}, "texts and numbers in arrays"),
    "token ids": ({"prompt": [1] * (MOST_IDS + 1)}, "token ids"),
    "fields": ({"metadata": {str(number): 1 for number in range(MOST_MEMBERS + 1)}}, "fields in its objects"),
    "bad words": ({"messages": HI, "bad_words": ["a" * 20_000]}, "`bad_words` has over"),
    "n": ({"messages": HI, "n": MOST_SEQUENCES + 1}, "send at most 512"),
    "prompts": ({"prompt": ["a"] * (MOST_SEQUENCES + 1)}, "send at most 512"),
    "prompts and n": ({"prompt": [[1]] * 100, "n": 100}, "send at most 512"),
    "n of a long prompt": ({"prompt": "a" * 1_000_000, "n": 64}, "would copy 61 MiB"),
    "n of many ids": ({"prompt": [7] * 200_000, "n": 64}, "would copy 61 MiB"),
    "n of a long field": ({"prompt": ["a"] * 400, "logit_bias": {str(n): 1 for n in range(20_000)}}, "would copy"),
    "a repeated pattern": (_schema(SLOW_PATTERN), "10002 characters with all repetitions"),
    "patterns of names": (_schema({"patternProperties": {"(a{1,100}){1,100}": {}}}), "all repetitions"),
    "a pattern in a schema as text": (
        {"prompt": "x", "structured_outputs": {"json": msgspec.json.encode(SLOW_PATTERN).decode()}},
        "all repetitions",
    ),
    "a pattern of a response's format": (
        {"input": "x", "text": {"format": {"type": "json_schema", "schema": SLOW_PATTERN}}},
        "all repetitions",
    ),
    "a pattern of a tool that must be called": (
        {"messages": HI, "tools": [_tool(SLOW_PATTERN)], "tool_choice": "required"},
        "all repetitions",
    ),
    "a pattern of a strict tool": ({"messages": HI, "tools": [_tool(SLOW_PATTERN, strict=True)]}, "all repetitions"),
    "a pattern of a response's tool": (
        {"input": "x", "tools": [{"type": "function", "name": "f", "parameters": SLOW_PATTERN, "strict": True}]},
        "all repetitions",
    ),
    "limits of numbers": (_schema(NUMBERS), "limit 201 numbers"),
    "a limit of a length that no float holds": (_schema({"maxLength": 10**400}), "limits of lengths"),
    "limits of lengths": (_schema({"type": "string", "maxLength": 10**9}), "limits of lengths"),
    "a long schema": (_schema({"enum": ["a" * MOST_BYTES]}), "bytes of JSON"),
    "a long regular expression": ({"prompt": "x", "structured_outputs": {"regex": "(a|b)" * 30_000}}, "bytes of JSON"),
}


@pytest.mark.parametrize(("body", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_would_occupy_an_engine_is_refused_with_the_reason(body: dict[str, Any], reason: str) -> None:
    with pytest.raises(ApiError, match=reason) as raised:
        check_body(body)
    assert (raised.value.status, raised.value.code) == (400, "body_too_complex")
    assert raised.value.message.endswith("its engine would stand still for all others")


PASSED: dict[str, dict[str, Any]] = {
    "a million token ids": {"prompt": [1] * 1_000_000},
    "prompts of token ids": {"prompt": [[1] * 2000] * 500},
    "a long chat": {"messages": HI * 10_000},
    "128 answers": {"messages": [{"role": "user", "content": "a" * 200_000}], "n": 128},
    "512 prompts": {"prompt": ["word " * 1000] * 512},
    "a picture and n": {
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:," + "A" * 20_000_000}}]}
        ],
        "n": 8,
    },
    "common patterns": _schema(
        {"properties": {str(n): {"pattern": r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$"} for n in range(100)}}
    ),
    "a slow pattern that nothing is made to fit": {"messages": HI, "tools": [_tool(SLOW_PATTERN)]},
    "a schema of 1,000 fields": _schema({"properties": {str(n): {"type": "string"} for n in range(1000)}}),
    "what only an engine can judge": {"messages": HI, "response_format": 7, "tools": {}, "n": "x", "bad_words": 1},
}


@pytest.mark.parametrize("body", PASSED.values(), ids=PASSED)
def test_what_an_engine_reads_quickly_passes(body: dict[str, Any]) -> None:
    check_body(body)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ("hi", "`messages` must be an array"),
        ([1], r"`messages\[0\]` must be an object"),
        ([*HI, {}], r"`messages\[1\]\.role` must be a string"),
        ([{"role": "user", "content": 5}], r"`messages\[0\]\.content` must be a string or an array"),
        ([{"role": "user", "content": "x", "name": 5}], r"`messages\[0\]\.name` must be a string"),
        ([{"role": "assistant", "tool_calls": {}}], r"`messages\[0\]\.tool_calls` must be an array"),
    ],
)
def test_malformed_messages_are_refused_before_an_engine_tries_them(messages: Any, message: str) -> None:
    with pytest.raises(ApiError, match=message) as raised:
        check_body({"messages": messages})
    assert (raised.value.status, raised.value.param) == (400, "messages")


@pytest.mark.parametrize(
    ("arguments", "passes"),
    [
        ("[" * 200 + "]" * 200, True),
        ("[" * 201, False),
        ('{"a":' * 201 + "1" + "}" * 201, False),
        ("[]" * 5000, True),
        ('"' + "[" * 5000, True),
        ('"\\"' + "[" * 5000 + '"', True),
        ('"x"' + "[" * 5000, False),
    ],
)
def test_arguments_that_an_engine_would_fail_on_are_refused(arguments: str, passes: bool) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    item = {"type": "function_call", "call_id": "c", "name": "f", "arguments": arguments}
    for body in ({"messages": [{"role": "assistant", "tool_calls": [call]}]}, {"input": [item]}):
        if passes:
            check_body(body)
            continue
        with pytest.raises(ApiError, match="nested more than 200 levels deep") as raised:
            check_body(body)
        assert raised.value.status == 400


def test_messages_without_content_pass() -> None:
    check_body({"messages": [{"role": "assistant", "content": None, "tool_calls": [], "name": None}]})
    check_body({})


TEXT = {"type": "input_text", "text": "x"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "x"}
CHAT_CALL = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}]}


@pytest.mark.parametrize(
    ("route", "renderer", "body", "passes"),
    [
        (RESPONSES, "harmony", {"input": [CALL, OUTPUT] * 180}, True),
        (RESPONSES, "harmony", {"input": [CALL, OUTPUT] * 220}, False),
        (RESPONSES, "template", {"input": [CALL, OUTPUT] * 900}, True),
        (RESPONSES, "template", {"input": [{"role": "user", "content": [TEXT]}] * 1000}, True),
        (RESPONSES, "template", {"input": [{"role": "user"}] * 130}, True),
        (RESPONSES, "template", {"input": [{"role": "user"}] * 250}, False),
        (RESPONSES, "template", {"input": [1] * 250}, False),
        (RESPONSES, "template", {"input": [{"role": "user", "content": [{}] * 2000}]}, False),
        (RESPONSES, "template", {"input": "x", "tools": [{}] * 2500}, False),
        (RESPONSES, "template", {"input": "x" * 1_000_000}, True),
        (CHAT, "harmony", {"messages": HI * 2900}, True),
        (CHAT, "harmony", {"messages": HI * 3100}, False),
        (CHAT, "harmony", {"messages": [CHAT_CALL] * 230}, False),
        (CHAT, "template", {"messages": [CHAT_CALL] * 5000}, True),
        (COMPLETIONS, "harmony", {"prompt": "x"}, True),
    ],
)
def test_what_an_engine_renders_slowly_is_refused_by_its_items(
    route: str, renderer: str, body: dict[str, Any], passes: bool
) -> None:
    if passes:
        check_rendering(prompt_of(route), body, renderer)
        return
    with pytest.raises(ApiError, match="reading and rendering") as raised:
        check_rendering(prompt_of(route), body, renderer)
    assert (raised.value.status, raised.value.code) == (400, "body_too_complex")


@pytest.mark.parametrize(
    ("pattern", "size"),
    [
        ("", 0),
        ("abc", 3),
        (r"^\d{4}-\d{2}$", 9),
        ("(ab){3}", 6),
        ("((a{1,10}){1,10}){1,10}", 1000),
        ("[a-z]{1,10000}", 10_000),
        (r"[]a{9}]\{9}", 4),
        ("a{2,}", 2),
        ("(a|b){0,5}", 15),
        ("a{0}", 1),
        (")a{9}(", 10),
        ("a{99999999999999}", 999_999_999),
    ],
)
def test_repetitions_are_written_out(pattern: str, size: int) -> None:
    assert measured(pattern)[0] == size


@pytest.mark.parametrize("pattern", ["[" * 60_000, "[^]" * 20_000, "(" * 60_000, "[\\" * 30_000, "{1" * 30_000])
def test_hostile_patterns_are_read_once(pattern: str) -> None:
    before = time.thread_time()
    measured(pattern)
    assert time.thread_time() - before < 1


@given(st.text(st.sampled_from("ab()[]{}\\,19|*+")))
def test_any_pattern_can_be_measured(pattern: str) -> None:
    assert min(measured(pattern)) >= 0


@pytest.mark.parametrize("pattern", ["^a{129}$", "a{1,129}", "a{129,}", "(a|b){0,500}"])
def test_repetitions_that_engines_fail_on_are_refused(pattern: str) -> None:
    with pytest.raises(ApiError, match="engines fail on more than 128") as raised:
        check_body(_schema({"type": "string", "pattern": pattern}))
    assert raised.value.status == 400
    check_body({"messages": HI, "structured_outputs": {"regex": pattern}})


def test_a_pattern_of_the_longest_size_passes() -> None:
    check_body(_schema({"pattern": "a" * MOST_PATTERN}))


@pytest.mark.parametrize(
    "body",
    [
        {"stop": [1] * (SMALL_BYTES // 2 - 10)},
        {"prompt": [1] * (SMALL_BYTES // 2 - 10)},
        {"metadata": {str(n): 1 for n in range(SMALL_BYTES // 10)}},
        {"bad_words": ["x" * (SMALL_BYTES - 20)]},
        {"tools": [{} for _ in range(SMALL_BYTES // 3 - 10)]},
    ],
    ids=["values", "ids", "fields", "words", "objects"],
)
def test_plain_values_of_a_small_body_are_within_the_limits_whatever_it_holds(body: dict[str, Any]) -> None:
    assert len(msgspec.json.encode(body)) <= SMALL_BYTES
    check_values(body)
