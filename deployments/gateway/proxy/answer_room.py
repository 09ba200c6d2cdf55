"""How much of an answer the gateway holds: a whole one until it is sent, of a stream an event that has not ended."""

from __future__ import annotations

from deployments.gateway.errors import ApiError, ComputedError
from deployments.gateway.preparation.byte_budget import ByteClaim


class AnswerRoom:
    """Counts the bytes that are held of one answer. They are a part of its request's `claim`."""

    def __init__(self, most_bytes: int, claim: ByteClaim) -> None:
        """`most_bytes`: `gateway.max_answer_bytes`."""
        self.held = 0
        self._most_bytes, self._claim = most_bytes, claim

    def take(self, count: int) -> None:
        """Raises ComputedError 502 where the answer is too long, and 503 where the gateway holds too much."""
        if self.held + count > self._most_bytes:
            raise ComputedError(
                502,
                f"the engine's answer has over {self._most_bytes / 2**20:g} MiB in one piece (`max_answer_bytes`); "
                "ask for a shorter one",
                code="answer_too_large",
                headers={"x-should-retry": "false"},
            )
        try:
            self._claim.reserve(count)
        except ApiError as full:
            raise ComputedError(503, full.message, code=full.code, retry_after_s=full.retry_after_s) from None
        self.held += count

    def give_back(self) -> None:
        """Nothing is held any more."""
        if self.held:
            self._claim.give_back(self.held)
            self.held = 0
