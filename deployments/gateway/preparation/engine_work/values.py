"""The plain values of a body: vLLM's request models look at each, and write a sentence about each that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deployments.gateway.preparation.engine_work.nodes import nodes_of
from deployments.gateway.preparation.engine_work.refusing import too_complex
from deployments.gateway.preparation.engine_work.tokenising import MOST_IDS

MOST_ELEMENTS = 10_000
"""Texts, numbers and other plain values in arrays. vLLM's request models take up to 30 us for each."""

MOST_MEMBERS = 60_000
"""Fields of all objects together. vLLM's request models take up to 11 us for each."""

ID_FIELDS = ("prompt", "tokens", "allowed_token_ids", "stop_token_ids")

MOST_WORD_CHARACTERS = 16_384
"""Characters of `bad_words`, which vLLM tokenises twice on its event loop."""

SMALL_BYTES = 16_384
"""Of JSON that is within all of these limits whatever it holds: a plain value of an array takes two bytes of it, a
field of an object five, and a word as many as its characters."""


def check_values(body: Mapping[str, Any]) -> None:
    """Raises ApiError 400 where an engine's request models would take too long for plain values."""
    ids = {name: _id_count(body[name]) for name in ID_FIELDS if isinstance(body.get(name), list)}
    if (count := sum(found for found in ids.values() if found)) > MOST_IDS:
        raise too_complex(f"the body has {count} token ids; send at most {MOST_IDS}")
    elements, members = 0, 0
    for node in nodes_of({name: value for name, value in body.items() if ids.get(name) is None}):
        if isinstance(node, dict):
            members += len(node)
        else:
            elements += sum(not isinstance(value, dict | list) for value in node)
    if elements > MOST_ELEMENTS:
        raise too_complex(
            f"the body has {elements} texts and numbers in arrays; send at most {MOST_ELEMENTS} beside token ids"
        )
    if members > MOST_MEMBERS:
        raise too_complex(f"the body has {members} fields in its objects; send at most {MOST_MEMBERS}")
    words = body.get("bad_words")
    if isinstance(words, list) and sum(len(word) for word in words if isinstance(word, str)) > MOST_WORD_CHARACTERS:
        raise too_complex(f"`bad_words` has over {MOST_WORD_CHARACTERS} characters; send fewer", "bad_words")


def _id_count(value: list[Any]) -> int | None:
    """How many token ids an array holds, or arrays of them do. None where it holds anything else."""
    if value and all(isinstance(each, list) for each in value):
        counts = [_flat_count(each) for each in value]
        return None if None in counts else sum(count for count in counts if count)
    return _flat_count(value)


def _flat_count(value: list[Any]) -> int | None:
    return len(value) if all(type(each) is int and 0 <= each < 2**32 for each in value) else None
