from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from deployments.gateway.identity.forwarded import MOST_HOPS, client_address

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
PROXY, CLIENT = "10.0.0.1", "198.51.100.7"
FOR, FORWARDED = "X-Forwarded-For", "Forwarded"


def found(*headers: tuple[str, str], peer: str = PROXY) -> str:
    return client_address(peer, CIMultiDictProxy(CIMultiDict(headers)), TRUSTED)


@pytest.mark.parametrize("header", [(FOR, CLIENT), (FORWARDED, f"for={CLIENT}")])
def test_headers_of_clients_are_ignored(header: tuple[str, str]) -> None:
    assert found(header, peer="203.0.113.9") == "203.0.113.9"
    assert found(header, peer="") == ""
    assert found(header, peer="::ffff:203.0.113.9") == "203.0.113.9"


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ((FOR, CLIENT), CLIENT),
        ((FOR, f"1.1.1.1, {CLIENT}"), CLIENT),
        ((FOR, f"1.1.1.1, {CLIENT}, 10.2.3.4,10.0.0.9"), CLIENT),
        ((FOR, f"{CLIENT}:4711"), CLIENT),
        ((FOR, "2001:db8::7"), "2001:db8::7"),
        ((FOR, "[2001:db8::7]:443"), "2001:db8::7"),
        ((FOR, "::ffff:198.51.100.7"), CLIENT),
        ((FOR, "10.0.0.8, 10.0.0.9"), "10.0.0.8"),
        ((FORWARDED, f"for={CLIENT}"), CLIENT),
        ((FORWARDED, f'For="{CLIENT}:80";proto=https;by=10.0.0.1'), CLIENT),
        ((FORWARDED, f"proto=http;for={CLIENT} , for=10.0.0.9"), CLIENT),
        ((FORWARDED, 'for="[2001:db8::7]:443";host="a,b;c"'), "2001:db8::7"),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_no_trusted_proxy(header: tuple[str, str], client: str) -> None:
    assert found(header) == client


@pytest.mark.parametrize(
    "header",
    [
        (FOR, ""),
        (FOR, "unknown"),
        (FOR, "1.2.3.4, nonsense"),
        (FOR, "1.2.3.4,"),
        (FOR, "999.1.1.1"),
        (FORWARDED, "for=unknown"),
        (FORWARDED, "for=1.2.3.4, for=_hidden"),
        (FORWARDED, "for=1.2.3.4, proto=https"),
        (FORWARDED, "nonsense"),
        (FORWARDED, 'for="1.2.3.4'),
    ],
)
def test_what_cannot_be_read_leaves_the_proxys_own_address(header: tuple[str, str]) -> None:
    assert found(header) == PROXY


def test_lines_of_one_header_are_one_list() -> None:
    assert found((FOR, "1.1.1.1"), (FOR, CLIENT), (FOR, "10.0.0.9")) == CLIENT
    assert found((FORWARDED, "for=1.1.1.1"), (FORWARDED, f"for={CLIENT}")) == CLIENT


def test_two_headers_that_contradict_each_other_are_not_believed() -> None:
    """A proxy writes one of them and passes on what its client wrote into the other."""
    assert found((FOR, CLIENT), (FORWARDED, f"for={CLIENT}")) == CLIENT
    assert found((FOR, CLIENT), (FORWARDED, "for=1.1.1.1")) == PROXY
    assert found((FOR, "1.1.1.1"), (FORWARDED, f"for={CLIENT}")) == PROXY


def test_only_so_many_proxies_are_followed() -> None:
    chain = ", ".join(f"10.0.1.{number}" for number in range(MOST_HOPS))
    assert found((FOR, f"1.1.1.1, {chain}")) == "10.0.1.0"


HEADER_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


@given(written=HEADER_TEXT)
@example(written="1.1.1.1")
def test_no_client_makes_itself_another_behind_a_proxy_that_appends(written: str) -> None:
    assert found((FOR, f"{written}, {CLIENT}")) == CLIENT
    assert found((FOR, written), (FOR, CLIENT)) == CLIENT


@given(written=HEADER_TEXT)
@example(written='for="')
@example(written='for="1.1.1.1')
@example(written="for=1.1.1.1")
@example(written='host="')
def test_nor_behind_one_that_appends_to_forwarded(written: str) -> None:
    for appended in (f"for={CLIENT}", f'for="{CLIENT}:80";proto=http;host="a"'):
        assert found((FORWARDED, f"{written}, {appended}")) in (CLIENT, PROXY)
        assert found((FORWARDED, written), (FORWARDED, appended)) == CLIENT
