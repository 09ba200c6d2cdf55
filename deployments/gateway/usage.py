"""What an answer says of its own cost."""

from __future__ import annotations

import msgspec

from deployments.gateway.limits import Unit


class _Usage(msgspec.Struct):
    total_tokens: int | None = None
    seconds: float | None = None


class _Answer(msgspec.Struct):
    usage: _Usage | None = None


_DECODER = msgspec.json.Decoder(_Answer)


def used(unit: Unit, body: bytes) -> float | None:
    """Tokens or seconds of audio that a whole answer reports; None where it reports none."""
    try:
        usage = _DECODER.decode(body).usage
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if usage is None:
        return None
    return usage.total_tokens if unit is Unit.TOKENS else usage.seconds
