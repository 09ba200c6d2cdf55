"""GPT-OSS's own encoding of conversations, which one process loads once."""

from __future__ import annotations

from functools import cache

from openai_harmony import HarmonyEncoding, HarmonyEncodingName, load_harmony_encoding


@cache
def harmony_encoding() -> HarmonyEncoding:
    """Blocks for a second the first time. Threads may share it."""
    return load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)
