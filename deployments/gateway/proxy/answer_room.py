"""How much of an answer the gateway holds: a whole one until it is sent, of a stream an event that has not ended."""

from __future__ import annotations

from deployments.gateway.errors.error_object import ApiError, ComputedError
from deployments.gateway.preparation.bodies.byte_budget import ByteClaim

UNCOUNTED_BYTES = 64 * 1024
"""Of each answer, that are no part of the bytes in flight: as much as a connection buffers in any case."""


class AnswerRoom:
    """Counts the bytes that are held of one answer. They are a part of its request's `claim`."""

    def __init__(self, most_bytes: int, claim: ByteClaim) -> None:
        """`most_bytes`: `gateway.max_answer_bytes`."""
        self._most_bytes, self._claim = most_bytes, claim
        self._held = self._claimed = 0

    def take(self, count: int) -> None:
        """Raises ComputedError 502 where the answer is too long, and 503 where the gateway holds too much."""
        self._held += count
        if self._held > self._most_bytes:
            raise ComputedError(
                502,
                f"the engine's answer has over {self._most_bytes / 2**20:g} MiB in one piece (`max_answer_bytes`); "
                "ask for a shorter one",
                code="answer_too_large",
                headers={"x-should-retry": "false"},
            )
        uncounted = self._held - UNCOUNTED_BYTES - self._claimed
        if uncounted > 0:
            try:
                self._claim.reserve(uncounted)
            except ApiError as full:
                raise ComputedError(503, full.message, code=full.code, retry_after_s=full.retry_after_s) from None
            self._claimed += uncounted

    def give_back(self) -> None:
        """Nothing is held any more."""
        if self._claimed:
            self._claim.give_back(self._claimed)
        self._held = self._claimed = 0
