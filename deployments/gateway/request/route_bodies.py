"""What a route's file says of its bodies: how they are read, keyed, salted, metered and resumed."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from deployments.gateway.admission.limits import Unit


class PromptForm(StrEnum):
    """How a body holds its prompt."""

    MESSAGES = "messages"
    """The messages of a chat."""
    PROMPT = "prompt"
    """A text, or its token ids."""
    INPUT = "input"
    """A text, or the items of a response's input."""


class RouteBodies(msgspec.Struct, frozen=True, kw_only=True):
    """It goes to the preparation workers with each body.

    Attributes:
        path: of the route.
        fields: those that a client may send; empty: any that is not withheld from clients.
        prompt: how a body holds its prompt; None where it has none, and is neither keyed nor salted.
        unit: that its work is charged in; None where engines compute nothing, and bodies are sent as they are.
        asks_for_usage: whether streams report their usage only where they are asked to.
        resumes: whether another replica can continue a stream.
    """

    path: str
    fields: frozenset[str] = frozenset()
    prompt: PromptForm | None = None
    unit: Unit | None = None
    asks_for_usage: bool = False
    resumes: bool = False
