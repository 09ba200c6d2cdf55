"""What participants and the registry tell each other: MessagePack, with a version, validated, of bounded size."""

from __future__ import annotations

import math
from typing import TypeVar

import msgspec

from deployments.autoscaling.control import Door
from deployments.engine.backend import EngineLoad
from deployments.replica_info import ReplicaInfo

VERSION = 1
"""Of these messages. One of another version is refused."""

MOST_REPORT_BYTES = 256 << 10
"""Bytes of one report. ZeroMQ closes the connection of whoever sends more."""

MOST_NAME = 200
"""Characters of an incarnation or of a gateway's name."""

Content = TypeVar("Content")


class UnreadableMessage(ValueError):
    """Bytes that no process of this version sends."""


class RegistryAddress(msgspec.Struct, frozen=True):
    """Where a registry listens, as `encrypted_sockets` writes addresses.

    Attributes:
        registry: its incarnation. Another one has heard nothing of what was reported to this one.
        reports: where participants report themselves.
        news: where it publishes what it knows.
    """

    registry: str
    reports: str
    news: str


class ReplicaReport(msgspec.Struct, tag="replica", array_like=True, frozen=True):
    """A replica lives, and this is what it is and how busy it is."""

    info: ReplicaInfo
    load: EngineLoad


class Withdrawal(msgspec.Struct, tag="withdrawal", array_like=True, frozen=True):
    """A replica takes no more requests, for good: its engine ended, or finishes what it has."""

    incarnation: str


class GatewayReport(msgspec.Struct, tag="gateway", array_like=True, frozen=True):
    """The gateways of one node live.

    Attributes:
        gateway: another one after each start of the node's supervisor.
        endpoints: where its processes publish their bookings.
        doors: what each process tells of each model.
    """

    gateway: str
    endpoints: tuple[str, ...]
    doors: tuple[Door, ...]


Report = ReplicaReport | Withdrawal | GatewayReport


class NumberedReport(msgspec.Struct, array_like=True, frozen=True):
    """A report, with a number that its sender chose and that its receipt repeats."""

    number: int
    report: Report


class Receipt(msgspec.Struct, array_like=True, frozen=True):
    """The registry's answer to a report: without any, the sender looks for another registry."""

    registry: str
    number: int


class Listing(msgspec.Struct, tag="listing", array_like=True, frozen=True):
    """All that this registry knows. Who is not in it may be there all the same: a new registry has not heard everyone.

    Attributes:
        replicas: those that it has heard of lately.
        gateways: name -> where its processes publish their bookings.
        departed: incarnations that withdrew, or that it has not heard of for too long.
    """

    registry: str
    replicas: tuple[ReplicaReport, ...]
    gateways: dict[str, tuple[str, ...]]
    departed: tuple[str, ...]


class Loads(msgspec.Struct, tag="loads", array_like=True, frozen=True):
    """New loads of some replicas that a listing has had, by incarnation."""

    registry: str
    loads: dict[str, EngineLoad]


News = Listing | Loads

_envelopes = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw])
_reports = msgspec.msgpack.Decoder(NumberedReport)
_receipts = msgspec.msgpack.Decoder(Receipt)
_news: msgspec.msgpack.Decoder[News] = msgspec.msgpack.Decoder(News)
_addresses = msgspec.msgpack.Decoder(RegistryAddress)


def encode(message: NumberedReport | Receipt | News | RegistryAddress) -> bytes:
    return msgspec.msgpack.encode((VERSION, message))


def decode_report(message: bytes) -> NumberedReport:
    """Raises UnreadableMessage."""
    numbered = _decoded(_reports, message)
    match numbered.report:
        case ReplicaReport(info, load):
            _check_name(info.incarnation)
            _check_load(load)
        case Withdrawal(incarnation):
            _check_name(incarnation)
        case GatewayReport(gateway):
            _check_name(gateway)
    return numbered


def decode_receipt(message: bytes) -> Receipt:
    """Raises UnreadableMessage."""
    return _decoded(_receipts, message)


def decode_news(message: bytes) -> News:
    """Raises UnreadableMessage."""
    return _decoded(_news, message)


def decode_address(message: bytes) -> RegistryAddress:
    """Raises UnreadableMessage."""
    return _decoded(_addresses, message)


def _decoded(decoder: msgspec.msgpack.Decoder[Content], message: bytes) -> Content:
    try:
        version, content = _envelopes.decode(message)
        if version != VERSION:
            raise UnreadableMessage(f"a message of version {version}, and this process reads version {VERSION}")
        return decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableMessage(f"{len(message)} bytes that are no message of the registry: {error}") from error


def _check_name(name: str) -> None:
    if not 0 < len(name) <= MOST_NAME:
        raise UnreadableMessage(f"a name of {len(name)} characters; it may have 1 to {MOST_NAME}")


def _check_load(load: EngineLoad) -> None:
    if load.running < 0 or load.waiting < 0 or load.kv_use < 0 or not math.isfinite(load.kv_use):
        raise UnreadableMessage(f"{load} is no load: its numbers are finite and not below 0")
