"""What a gateway has learned of all its replicas' speeds, as bytes for one that starts."""

from __future__ import annotations

import msgspec

from deployments.gateway.replicas.directory import Directory
from deployments.routing import LearnedPool

_decoder: msgspec.msgpack.Decoder[dict[str, dict[str, LearnedPool]]] = msgspec.msgpack.Decoder(
    dict[str, dict[str, LearnedPool]]
)


def learned_speeds(directory: Directory) -> bytes:
    """By model and pool, in MessagePack."""
    return msgspec.msgpack.encode({served.model.name: served.router.learned() for served in directory.models})


def adopt_speeds(directory: Directory, learned: bytes) -> None:
    """Takes over what is more than here. Raises msgspec.DecodeError where it is nothing of the kind."""
    by_model = _decoder.decode(learned)
    for served in directory.models:
        served.router.adopt(by_model.get(served.model.name, {}))
