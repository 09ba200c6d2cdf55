"""From the tokens of a continued chat to the deltas that the engine itself would have sent: by way of rendering.

A continuation is a completion, whatever it continues, since only that takes any token ids; so the chat's own parsing of
channels is done here, with the same library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from openai_harmony import HarmonyError, Role, StreamableParser

from cluster.fleet import Model
from deployments.gateway.preparation.prompts.harmony_encoding import harmony_encoding
from deployments.gateway.resume.conditions import NotExact


class Voice(Protocol):
    """The parsing of one answer."""

    def delta(self, text: str, token_ids: Sequence[int], finished: bool) -> dict[str, Any]:
        """The next delta; empty where these tokens show nothing."""

    def details(self) -> dict[str, Any] | None:
        """`completion_tokens_details` of the whole answer; None where the engine would not tell any."""


class Plain:
    """What is said is the content."""

    def delta(self, text: str, token_ids: Sequence[int], finished: bool) -> dict[str, Any]:
        return {"content": text}

    def details(self) -> dict[str, Any] | None:
        return None


class Harmony:
    """GPT-OSS: `analysis` is reasoning, `final` and a commentary to nobody are content; as in vLLM's Harmony parser."""

    def __init__(self, emitted: Sequence[int]) -> None:
        self._encoding = harmony_encoding()
        self._parser = StreamableParser(self._encoding, role=Role.ASSISTANT)
        self._reasoning_tokens = 0
        self._of_message: list[int] = []
        for token in emitted:
            self._process(token)

    def delta(self, text: str, token_ids: Sequence[int], finished: bool) -> dict[str, Any]:
        said = {"content": "", "reasoning": ""}
        for token in token_ids:
            kind = self._process(token)
            if kind:
                said[kind] += self._parser.last_content_delta or ""
        if finished:
            said["content"] += self._unparsed()
        return {kind: words for kind, words in said.items() if words}

    def details(self) -> dict[str, Any] | None:
        return {"reasoning_tokens": self._reasoning_tokens}

    def _process(self, token: int) -> str | None:
        """Where what this token says belongs; None for nowhere. Raises NotExact where it begins a tool call."""
        complete = len(self._parser.messages)
        try:
            self._parser.process(token)
        except HarmonyError:  # the engine goes on after it, too
            return None
        if len(self._parser.messages) > complete:
            self._of_message.clear()
        else:
            self._of_message.append(token)
        channel, recipient = self._parser.current_channel, self._parser.current_recipient
        if recipient:
            raise NotExact("it was calling a tool")
        if channel == "analysis":
            self._reasoning_tokens += not self._encoding.is_special_token(token)
            return "reasoning"
        return "content" if channel in ("final", "commentary") else None

    def _unparsed(self) -> str:
        """What an answer leaves behind that ends where no message may: vLLM shows it as it is."""
        try:
            self._parser.process_eos()
        except HarmonyError:
            return str(self._encoding.decode(self._of_message))
        return ""


def _plain(model: Model, emitted: Sequence[int]) -> Voice:
    if model.reasoning_parser:
        raise NotExact(f"the parser '{model.reasoning_parser}' is the engine's own")
    return Plain()


def _harmony(model: Model, emitted: Sequence[int]) -> Voice:
    if not model.reasoning_parser:
        raise NotExact("its engine parses no reasoning")
    return Harmony(emitted)


VOICES: dict[str, Callable[[Model, Sequence[int]], Voice]] = {"template": _plain, "fake": _plain, "harmony": _harmony}
"""By the renderer that a replica announces."""


def voice_of(renderer: str, model: Model, emitted: Sequence[int]) -> Voice:
    """Blocks where a library has to be loaded. Raises NotExact where nobody here can speak so."""
    if renderer not in VOICES:
        raise NotExact("it is not known how its engine parses answers")
    return VOICES[renderer](model, emitted)
