"""Which fields of a request reach an engine: those that its version has, but for those that no client may set.

The lists of the routes are in their files; here is what several have in common.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from deployments.gateway.errors.error_object import ApiError, shortened

VERSION = "0.32.0"
"""Of vLLM. tests/e2e/test_vllm_contract.py compares the routes' lists with its request models."""

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


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


SAMPLING = names("""
    frequency_penalty ignore_eos include_stop_str_in_output logit_bias min_p model presence_penalty
    repetition_penalty seed skip_special_tokens stop stop_token_ids stream structured_outputs temperature
    top_k top_p user watermarking cache_salt
    """)
GENERATION = SAMPLING | names("""
    add_special_tokens allowed_token_ids bad_words echo length_penalty logprob_token_ids logprobs max_tokens
    min_tokens n prompt_logprobs repetition_detection response_format return_token_ids return_token_offsets
    return_tokens_as_token_ids routed_experts_prompt_start spaces_between_special_tokens stream_interval
    stream_options thinking_token_budget truncate_prompt_tokens truncation_side use_beam_search
    """)
SPEECH = names("""
    file frequency_penalty hotwords include_stop_str_in_output language length_penalty max_completion_tokens min_p
    model n presence_penalty prompt repetition_penalty response_format seed stream stream_continuous_usage_stats
    stream_include_usage temperature to_language top_k top_p use_beam_search watermarking
    """)

HEADER = "x-unknown-fields"
NAME = re.compile(r"[!-+\--~]{1,64}")
"""A name that a header can list: printable ASCII without blanks and commas."""

MOST_HEADER = 500
"""Characters of the header."""


def is_known(known: frozenset[str], name: str) -> bool:
    """Whether a client may send this field: one that is known, or any where the list is empty; never a withheld one."""
    return name not in WITHHELD and (name in known or not known)


def drop_unknown(known: frozenset[str], body: dict[str, Any]) -> list[str]:
    """Removes, in place, the fields that a client may not send. Returns their names in order."""
    unknown = [name for name in body if not is_known(known, name)]
    for name in unknown:
        del body[name]
    return unknown


def refuse_unknown(path: str, unknown: Iterable[str]) -> None:
    """Raises ApiError 400 for the first of these fields."""
    for name in unknown:
        raise ApiError(
            400,
            f"{path} has no field `{shortened(name)}` here; send the request without it",
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
