"""Which fields of a request reach an engine: those that its version has, but for those that no client may set."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from deployments.gateway.errors.error_object import ApiError, shortened

VERSION = "0.32.0"
"""Of vLLM. tests/e2e/test_vllm_contract.py compares the lists with its request models."""

WITHHELD = frozenset(
    {
        "ec_transfer_params",  # makes an engine fetch what another one computed
        "kv_transfer_params",  # the same; and token ids in place of the messages
        "mm_payload",  # media that was processed already, under an identity of the client's
        "priority",  # overtakes other requests in the engine's queue: see x-priority
        "request_id",  # of another request
        "return_mm_kwargs",  # what an engine made of media, many times as large
        "session_id",  # of another client
        "vllm_xargs",  # any of these, in another writing
    }
)
"""Fields that an engine has, and that outrank others or reach what is theirs. `cache_salt` is replaced by our own."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


SAMPLING = _names("""
    frequency_penalty ignore_eos include_stop_str_in_output logit_bias min_p model presence_penalty
    repetition_penalty seed skip_special_tokens stop stop_token_ids stream structured_outputs temperature
    top_k top_p user watermarking cache_salt
    """)
GENERATION = SAMPLING | _names("""
    add_special_tokens allowed_token_ids bad_words echo length_penalty logprob_token_ids logprobs max_tokens
    min_tokens n prompt_logprobs repetition_detection response_format return_token_ids return_token_offsets
    return_tokens_as_token_ids routed_experts_prompt_start spaces_between_special_tokens stream_interval
    stream_options thinking_token_budget truncate_prompt_tokens truncation_side use_beam_search
    """)
SPEECH = _names("""
    file frequency_penalty hotwords include_stop_str_in_output language length_penalty max_completion_tokens min_p
    model n presence_penalty prompt repetition_penalty response_format seed stream stream_continuous_usage_stats
    stream_include_usage temperature to_language top_k top_p use_beam_search watermarking
    """)

FIELDS: dict[str, dict[str, frozenset[str]]] = {
    VERSION: {
        "/v1/chat/completions": GENERATION
        | _names("""
            add_generation_prompt chat_template chat_template_kwargs continue_final_message documents
            include_reasoning max_completion_tokens media_io_kwargs messages mm_processor_kwargs parallel_tool_calls
            reasoning_effort return_prompt_text tool_choice tools top_logprobs
            """),
        "/v1/completions": GENERATION | frozenset({"prompt", "prompt_embeds", "suffix"}),
        "/v1/responses": SAMPLING
        | _names("""
            background chat_template_kwargs enable_response_messages include include_reasoning input instructions
            max_output_tokens max_tool_calls media_io_kwargs metadata mm_processor_kwargs parallel_tool_calls
            previous_input_messages previous_response_id prompt prompt_cache_key reasoning service_tier store text
            tool_choice tools top_logprobs truncation
            """),
        "/tokenize": _names("""
            add_generation_prompt add_special_tokens chat_template chat_template_kwargs continue_final_message
            media_io_kwargs messages mm_processor_kwargs model prompt return_token_strs tools
            """),
        "/detokenize": frozenset({"model", "tokens"}),
        "/v1/audio/transcriptions": SPEECH | {"timestamp_granularities", "timestamp_granularities[]"},
        "/v1/audio/translations": SPEECH,
    }
}
"""By vLLM's version and route."""

HEADER = "x-unknown-fields"
NAME = re.compile(r"[!-+\--~]{1,64}")
"""A name that a header can list: printable ASCII without blanks and commas."""

MOST_HEADER = 500
"""Characters of the header."""


def is_known(route: str, name: str, version: str = VERSION) -> bool:
    """Whether a client may send this field. On a route without a list it may send any that is not withheld."""
    known = FIELDS[version].get(route)
    return name not in WITHHELD and (known is None or name in known)


def drop_unknown(route: str, body: dict[str, Any]) -> list[str]:
    """Removes, in place, the fields that a client may not send. Returns their names in order."""
    unknown = [name for name in body if not is_known(route, name)]
    for name in unknown:
        del body[name]
    return unknown


def refuse_unknown(route: str, unknown: Iterable[str]) -> None:
    """Raises ApiError 400 for the first of these fields."""
    for name in unknown:
        raise ApiError(
            400,
            f"{route} has no field `{shortened(name)}` here; send the request without it",
            param=shortened(name),
            code="unknown_field",
        )


def header_value(unknown: Iterable[str]) -> str:
    """The names as a header lists them: not those that are none, and `...` where some are left out. '' for none."""
    listed: list[str] = []
    length = 0
    for name in unknown:
        length += len(name) + 2
        if not NAME.fullmatch(name) or length > MOST_HEADER:
            return ", ".join([*listed, "..."])
        listed.append(name)
    return ", ".join(listed)
