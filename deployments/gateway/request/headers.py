"""Request headers that routing takes into account: deadline, session and priority; and whether it is explained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from deployments.gateway.errors.error_object import ApiError

DEADLINE, SESSION, PRIORITY = "x-deadline-ms", "x-session-id", "x-priority"
EXPLAIN = "x-explain-routing"
"""A request with this header, whatever it says, is told in `x-routing` why it went where it went."""
MOST_SESSION = 256
DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
INTEGER = re.compile(r"[+-]?[0-9]{1,6}")


@dataclass(frozen=True)
class RoutingHints:
    """Attributes:
    deadline_s: seconds from the request's arrival within which its first token should come; None: whenever.
    session: what the client calls its conversation. Two tenants may use the same word for two of them.
    priority: higher is more urgent.
    explained: whether the answer says why its replica was chosen.
    """

    deadline_s: float | None = None
    session: str | None = None
    priority: int = 0
    explained: bool = False

    def check(self, elapsed_s: float) -> None:
        """Raises ApiError 504 where the deadline has passed: nobody waits for such an answer any more."""
        if self.deadline_s is not None and elapsed_s >= self.deadline_s:
            raise ApiError(
                504,
                f"the request's {DEADLINE} of {self.deadline_s * 1000:g} ms passed before its work could begin",
                param=DEADLINE,
                code="deadline_exceeded",
                headers={"x-should-retry": "false"},
            )


def read_hints(headers: Mapping[str, str], priority: int) -> RoutingHints:
    """The hints in a request's headers. `priority` is the tenant's: a client may ask for less, and more is cut to it.

    Raises ApiError 400 where a header cannot be read, with the header's name as `param`.
    """
    asked = headers.get(PRIORITY)
    if asked is not None and not INTEGER.fullmatch(asked):
        raise ApiError(400, f"{PRIORITY} is not an integer; send one such as -1", param=PRIORITY)
    return RoutingHints(
        deadline_s=_deadline(headers.get(DEADLINE)),
        session=_session(headers.get(SESSION)),
        priority=priority if asked is None else min(priority, int(asked)),
        explained=EXPLAIN in headers,
    )


def _deadline(given: str | None) -> float | None:
    if given is None:
        return None
    milliseconds = float(given) if DECIMAL.fullmatch(given) else 0.0
    if not milliseconds:
        raise ApiError(400, f"{DEADLINE} is not a number of milliseconds above 0; send one like 1500", param=DEADLINE)
    return milliseconds / 1000


def _session(given: str | None) -> str | None:
    if given is not None and not (0 < len(given) <= MOST_SESSION and given.isprintable()):
        raise ApiError(
            400, f"{SESSION} is not 1 to {MOST_SESSION} printable characters; send such a word", param=SESSION
        )
    return given
