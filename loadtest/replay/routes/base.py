"""What a route is: where a request of a trace is sent, and as what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from loadtest.replay.contents import Contents, Vocabulary
from loadtest.traces.trace import TraceRequest


@dataclass(frozen=True)
class Asked:
    """Who is asked, and how.

    Attributes:
        model: its name at the endpoint.
        whole_answers: asks for exactly as many tokens as the trace says, by vLLM's and SGLang's `ignore_eos`.
    """

    model: str
    vocabulary: Vocabulary
    whole_answers: bool = True

    def limits(self, tokens: int) -> dict[str, object]:
        """The fields that bound an answer."""
        limits: dict[str, object] = {"max_tokens": tokens, "temperature": 0}
        return limits | {"ignore_eos": True} if self.whole_answers else limits


class Route(Protocol):
    """One file each."""

    path: str
    content_type: str

    def spare(self, context: int) -> int:
        """Tokens of a context of that many that the prompt must leave: a template's, and what cannot be foreseen."""

    def body(self, request: TraceRequest, number: int, asked: Asked, contents: Contents) -> bytes:
        """The body that asks the request of that number, streamed and with its usage told."""
