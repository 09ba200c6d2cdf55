"""What a request is charged: what engines computed for it, whatever its client was shown of that.

An engine reports the whole of an answer with its end. An answer that ends before (its client leaves, its time is up) is
charged by what is known of it:

- its token ids, where the stream was followed: each is one token that was computed;
- else the larger of the frames that passed and of the tokens that its replica computes in that time, by its learned
  speed, up to what the body allows. Frames alone would not do: `stream_interval`, hidden reasoning, tool calls and
  answers that do not stream show fewer frames than tokens, or none.

A request that no engine has seen is charged nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from deployments.gateway.admission.limits import Unit
from deployments.gateway.proxy.usage import AnswerUsage
from deployments.routing import Booking


@dataclass
class Work:
    """What engines did for one request, as far as this gateway knows.

    Attributes:
        prompt_tokens: exact or estimated. allowed_tokens: of all its answers by its body; 0: no limit.
        token_s: learned seconds between two tokens of one answer of the replica that has it.
        emitted: token ids that a followed stream has had; None where it was not followed.
    """

    prompt_tokens: int
    sequences: int = 1
    allowed_tokens: int = 0
    booking: Booking | None = None
    token_s: float = 0.0
    emitted: int | None = None

    def sent_to(self, booking: Booking, token_s: float) -> None:
        """A replica has been sent the request."""
        self.booking, self.token_s = booking, token_s

    def used(self, unit: Unit, usage: AnswerUsage, now: float) -> float | None:
        """Units to charge; None: as estimated when it arrived. `now` is on the router's clock."""
        if self.booking is None:
            return 0.0
        reported = usage.amount(unit, self.prompt_tokens) if usage.reported() is not None else None
        if usage.is_final or unit is not Unit.TOKENS:
            return reported
        if self.emitted is not None:
            emitted = min(self.emitted, self.allowed_tokens) if self.allowed_tokens else self.emitted
            return max(reported or 0.0, self.prompt_tokens + emitted)
        return max(reported or 0.0, self.prompt_tokens + max(usage.frames, self._tokens_by_time(now)))

    def _tokens_by_time(self, now: float) -> float:
        booking = self.booking
        if booking is None or self.token_s <= 0:
            return 0.0
        began = booking.first_token_at
        if began is None:
            began = booking.booked_at + booking.first_token_s
        tokens = self.sequences * max(0.0, now - began) / self.token_s
        return min(tokens, self.allowed_tokens) if self.allowed_tokens else tokens
