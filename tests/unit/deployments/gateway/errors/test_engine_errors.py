"""Clients read an engine's message where its form is known, with the fleet file's keys, and never a path or address."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.errors.engine_errors import LEAKS, general, readable, readable_param

LENGTH = (
    "This model's maximum context length is 4096 tokens. However, your prompt contains 5000 input tokens, "
    "which exceeds this limit even without any output tokens. Please reduce the length of the input prompt."
)


@pytest.mark.parametrize(
    "message",
    [
        LENGTH,
        "temperature must be in [0, 2], got 3.5.",
        "max_tokens must be at least 1, got -5.",
        "min_tokens must be less than or equal to max_tokens=5, got 9. (parameter=min_tokens, value=9)",
        "token_id(s) [99999999] in logit_bias contain out-of-vocab token ids. Vocabulary size: 201088",
        "Stream options can only be defined when `stream=True`.",
        "Currently only support response_format: `text`, `json`, `verbose_json` or `diarized_json`",
        "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely.",
        "reasoning_effort='extreme' is not supported by Harmony. Supported values are: low, medium, high.",
    ],
)
def test_known_forms_are_read_as_they_are(message: str) -> None:
    assert readable(message) == message


@pytest.mark.parametrize(
    ("message", "reading"),
    [
        (
            "n must be at most 16384, got 20000. To increase this limit, set the VLLM_MAX_N_SEQUENCES environment "
            "variable.",
            "n must be at most 16384, got 20000",
        ),
        (
            "At most 1 image(s) may be provided in one prompt. Set `--limit-mm-per-prompt` to increase this limit.",
            "At most 1 image(s) may be provided in one prompt.",
        ),
        (
            "Image dimensions 9x9 (81 pixels) exceed the maximum of 80 pixels. Set VLLM_MAX_IMAGE_PIXELS.",
            "Image dimensions 9x9 (81 pixels) exceed the maximum of 80 pixels.",
        ),
    ],
)
def test_what_is_for_who_starts_the_engine_is_left_out(message: str, reading: str) -> None:
    assert readable(message).rstrip(".") == reading.rstrip(".")


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set', "tool_parser"),
        ('tool_choice="required" requires --tool-call-parser to be set', "tool_parser"),
        (
            "thinking_token_budget is set but reasoning_config is not configured. Please set --reasoning-parser and/or "
            "--reasoning-config to use thinking_token_budget.",
            "reasoning_parser",
        ),
        ("Chat template is passed with request, but --trust-request-chat-template is not set. Refused.", "flags"),
        ("You must set `--enable-mm-embeds` to input `image_embeds`", "flags"),
    ],
)
def test_errors_name_the_fleet_files_keys_and_no_flags(message: str, key: str) -> None:
    assert f"`{key}`" in readable(message)
    assert "--" not in readable(message)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "anything else",
        "Traceback (most recent call last)",
        "Failed to transform regex into a grammar: /opt/lib/grammar.cc failed",
        "The model does not support http://10.0.0.7:8001/v1",
        "temperature must be what 10.0.0.7 says",
        "x must be set by --an-engine-flag",
        "Grammar error: vllm.v1.structured_output failed",
        "Grammar error: VLLM_SOMETHING is not set",
        "Grammar error: <object at 0x7f0b33f49470>",
        "params must be either SamplingParams or PoolingParams, but got int",
        'Error parsing regex: File "grammar", line 3',
        "The URL must be from one of the allowed domains: ['a']. Input URL domain: b",
    ],
)
def test_everything_else_is_not_read(message: str) -> None:
    assert readable(message) == ""


@pytest.mark.parametrize(
    ("fault", "reading"),
    [
        (
            "{'type': 'missing', 'loc': 'body.messages', 'msg': 'Field required', 'input': {}}",
            "`messages`: Field required",
        ),
        (
            "{'type': 'int', 'loc': 'body.n', 'msg': \"Input should be 'a' or 'b'\", 'input': 'x'}",
            "`n`: Input should be 'a' or 'b'",
        ),
        (
            "{'type': 'value', 'loc': 'body', 'msg': 'Value error, You must pass at least one prompt', 'x': 1}",
            "`body`: You must pass at least one prompt",
        ),
        (
            "{'type': 'x', 'loc': 'body.stop', 'msg': 'died in /opt/app/x.py', 'input': 1}",
            "`stop`: it has a wrong type or value",
        ),
        ("{'type': 'x', 'loc': '/etc/passwd', 'msg': 'what', 'input': 1}", ""),
    ],
)
def test_faults_of_a_body_name_their_field(fault: str, reading: str) -> None:
    assert readable(f"1 validation error:\n  {fault}") == reading


@given(st.text(max_size=80), st.sampled_from(["Grammar error: {}", "x must be {}", "1 validation error: {}", "{}"]))
def test_what_clients_read_never_has_what_they_must_not(text: str, form: str) -> None:
    reading = readable(form.format(text))
    assert not any(leak.search(reading) for leak in LEAKS)


def test_hostile_messages_are_compared_within_milliseconds() -> None:
    for message in (
        "The x prompt (length 1) " + "is longer than the maximum model length of 1." * 2000,
        "Invalid `name` in `function`: " + " in `tool_choice`" * 5000,
        "9 validation errors:\n" + "'loc': 'a', 'msg': '" * 5000,
        "1" * 100_000,
    ):
        before = time.thread_time()
        readable(message)
        assert time.thread_time() - before < 0.02


def test_general_sentences_say_what_to_do() -> None:
    assert general(400, "n").endswith("because of `n`; check the fields of its body")
    assert general(503) == "the engine failed with status 503; send the request again"
    assert "404" in general(404)


@pytest.mark.parametrize("param", [None, 7, "", "a/b", "x y", "a" * 200, "10.0.0.1"])
def test_params_that_are_no_fields_are_left_out(param: object) -> None:
    assert readable_param(param) is None


@pytest.mark.parametrize("param", ["n", "body.messages.0.content", "messages[0].role"])
def test_params_that_are_fields_are_kept(param: str) -> None:
    assert readable_param(param) == param
