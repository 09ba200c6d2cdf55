from __future__ import annotations

import contextlib
import math
from dataclasses import asdict, replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.autoscaling.control import Door
from deployments.engine.backend import EngineLoad
from deployments.registry.messages import (
    MOST_NAME,
    VERSION,
    GatewayReport,
    Listing,
    Loads,
    NumberedReport,
    Receipt,
    RegistryAddress,
    ReplicaReport,
    UnreadableMessage,
    Withdrawal,
    decode_address,
    decode_news,
    decode_receipt,
    decode_report,
    encode,
)
from tests.support.processes import fake_pool, replica_info

INFO = replica_info("http://127.0.0.1:1", fake_pool())
REPLICA = ReplicaReport(INFO, EngineLoad(1, 2, 0.5))
GATEWAY = GatewayReport("g", ("tcp://127.0.0.1:1#00",), (Door(source="g1", model="m", waiting=1, booked_s={"a": 0.5}),))
LISTING = Listing("r", (REPLICA,), {"g": GATEWAY.endpoints}, ("gone",))
DECODERS = (decode_report, decode_receipt, decode_news, decode_address)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=6),
    max_leaves=30,
)


@pytest.mark.parametrize("report", [REPLICA, Withdrawal("i"), GATEWAY])
def test_reports_survive_the_wire(report: Any) -> None:
    assert decode_report(encode(NumberedReport(7, report))) == NumberedReport(7, report)


@pytest.mark.parametrize("news", [LISTING, Loads("r", {"i": EngineLoad(1)}), Listing("r", (), {}, ())])
def test_news_survive_the_wire(news: Any) -> None:
    assert decode_news(encode(news)) == news


def test_receipts_and_addresses_survive_the_wire() -> None:
    address = RegistryAddress("r", "tcp://127.0.0.1:1#00", "tcp://127.0.0.1:2#00")
    assert decode_receipt(encode(Receipt("r", 3))) == Receipt("r", 3)
    assert decode_address(encode(address)) == address


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(message: bytes) -> None:
    for decode in DECODERS:
        with pytest.raises(UnreadableMessage):
            decode(message)


@given(JSON, st.sampled_from([VERSION, VERSION + 1, None]))
def test_arbitrary_content_is_refused_with_unreadable_message_and_no_other_error(content: Any, version: Any) -> None:
    message = msgspec.msgpack.encode([version, content])
    for decode in DECODERS:
        with contextlib.suppress(UnreadableMessage):
            decode(message)


@given(st.data())
def test_damaged_reports_never_raise_another_error(data: st.DataObject) -> None:
    message = bytearray(encode(NumberedReport(7, data.draw(st.sampled_from([REPLICA, GATEWAY])))))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(UnreadableMessage):
        decode_report(bytes(message))


def test_another_version_is_refused_by_its_number() -> None:
    with pytest.raises(UnreadableMessage, match="version 2, and this process reads version 1"):
        decode_report(msgspec.msgpack.encode((VERSION + 1, NumberedReport(7, REPLICA))))


@pytest.mark.parametrize("name", ["", "x" * (MOST_NAME + 1)])
def test_names_of_no_or_too_many_characters_are_refused(name: str) -> None:
    reports = (
        ReplicaReport(replace(INFO, incarnation=name), EngineLoad()),
        Withdrawal(name),
        GatewayReport(name, (), ()),
    )
    for report in reports:
        with pytest.raises(UnreadableMessage, match="characters"):
            decode_report(encode(NumberedReport(1, report)))


@pytest.mark.parametrize("wrong", [{"running": -1}, {"waiting": -1}, {"kv_use": -0.1}, {"kv_use": math.inf}])
def test_loads_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UnreadableMessage, match="is no load"):
        decode_report(encode(NumberedReport(1, ReplicaReport(INFO, EngineLoad(**wrong)))))
    with pytest.raises(UnreadableMessage, match="is no load"):
        decode_report(encode(NumberedReport(1, ReplicaReport(INFO, EngineLoad(kv_use=math.nan)))))


@pytest.mark.parametrize("field", ["incarnation", "slots", "url", "aliases"])
def test_replicas_with_a_missing_or_mistyped_field_are_refused(field: str) -> None:
    whole = {**asdict(INFO), "aliases": ["alias"]}
    for info in ({**whole, field: {}}, {name: value for name, value in whole.items() if name != field}):
        message = (VERSION, [1, ["replica", info, asdict(EngineLoad())]])
        with pytest.raises(UnreadableMessage, match=field):
            decode_report(msgspec.msgpack.encode(message))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(UnreadableMessage):
        decode_report(b"\x92\x01" + b"\x91" * 100_000 + b"\xc0")
