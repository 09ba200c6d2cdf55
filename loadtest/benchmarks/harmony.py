"""The Harmony encoding, from the vocabulary that the embedded GPT-OSS checkpoint brings: nothing is downloaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Any

from cluster.checkpoints import resolve


def harmony_text(ids: Sequence[int]) -> str:
    """Text of the token ids, control tokens written out; "" where one is no token of the vocabulary."""
    try:
        return str(harmony_encoding().decode(list(ids)))
    except (RuntimeError, OverflowError):
        return ""


def prompt_ids(effort: str, date: str, question: str) -> list[int]:
    """A rendered prompt: system message with reasoning effort (low, medium, high) and ISO date, then the question."""
    from openai_harmony import Conversation, Message, ReasoningEffort, Role, SystemContent

    system = SystemContent.new().with_reasoning_effort(ReasoningEffort[effort.upper()])
    messages = [
        Message.from_role_and_content(Role.SYSTEM, system.with_conversation_start_date(date)),
        Message.from_role_and_content(Role.USER, question),
    ]
    conversation = Conversation.from_messages(messages)
    return list(harmony_encoding().render_conversation_for_completion(conversation, Role.ASSISTANT))


@cache
def harmony_encoding() -> Any:
    """The o200k_harmony encoding of openai_harmony. Raises RuntimeError where vLLM, which brings it, is missing."""
    os.environ.update(resolve("tiny-gpt-oss-sums").environment)
    try:
        from openai_harmony import HarmonyEncodingName, load_harmony_encoding
    except ImportError:
        raise RuntimeError(
            "openai_harmony is not installed; it comes with vLLM: install an extra of this project"
        ) from None
    return load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)
