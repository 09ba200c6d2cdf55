from __future__ import annotations

import ipaddress
import socket

import pytest

from cluster.addresses import (
    http_address,
    is_loopback,
    listens_everywhere,
    own_address,
    reachable_host,
    reachable_url,
)

EVERYWHERE = ["", "0.0.0.0", "0", "::", "[::]", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0"]


@pytest.mark.parametrize("host", EVERYWHERE)
def test_an_address_to_listen_on_is_told_from_one_to_reach_in_every_spelling(host: str) -> None:
    assert listens_everywhere(host)
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.7", "127.0.0.1", "::1", "fd00::7", "head", "localhost", "node0"])
def test_an_address_to_reach_is_kept_as_it_is(host: str) -> None:
    assert not listens_everywhere(host)
    assert reachable_host(host, "10.0.0.1") == host
    assert reachable_url(http_address(host, 80) + "/x") == http_address(host, 80) + "/x"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.3", "127.1", "::1", "[::1]", "::ffff:127.0.0.1", "LOCALHOST"])
def test_loopback_is_known_in_every_spelling(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "127.example.com", "localhost.example.com", "node127.1"])
def test_other_machines_are_not_taken_for_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("listening", "node", "reached"),
    [
        ("0.0.0.0", "10.0.0.7", "10.0.0.7"),
        ("::", "fd00::7", "fd00::7"),
        ("[::]", "fd00::7", "fd00::7"),
        ("", "10.0.0.7", "10.0.0.7"),
        ("", "fd00::7", "fd00::7"),
    ],
)
def test_a_server_that_listens_everywhere_is_reached_at_its_nodes_address(
    listening: str, node: str, reached: str
) -> None:
    assert reachable_host(listening, node) == reached


@pytest.mark.parametrize(("listening", "node"), [("0.0.0.0", "fd00::7"), ("::", "10.0.0.7"), ("0.0.0.0", None)])
def test_the_address_has_the_family_that_the_server_listens_on(listening: str, node: str | None) -> None:
    found = ipaddress.ip_address(reachable_host(listening, node))
    assert found.version == (6 if ":" in listening else 4)
    assert not found.is_unspecified


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_own_address_is_one_that_this_machine_can_listen_on(family: socket.AddressFamily) -> None:
    with socket.socket(family) as probe:
        probe.bind((own_address(family), 0))


def test_a_url_with_an_address_to_listen_on_gets_the_own_address() -> None:
    ipv4, ipv6 = own_address(socket.AF_INET), own_address(socket.AF_INET6)
    assert reachable_url("http://0.0.0.0:8000/v1") == f"http://{ipv4}:8000/v1"
    assert reachable_url("https://[::]:8000") == f"https://[{ipv6}]:8000"
    assert reachable_url("http://0.0.0.0/v1") == f"http://{ipv4}/v1"
    assert reachable_url("http://0.0.0.0:x") == "http://0.0.0.0:x"
    assert reachable_url("http://user@0.0.0.0:1") == f"http://user@{ipv4}:1"


def test_urls_put_ipv6_in_brackets() -> None:
    assert http_address("127.0.0.1", 80) == "http://127.0.0.1:80"
    assert http_address("::1", 80) == http_address("[::1]", 80) == "http://[::1]:80"
    assert http_address("::1", 80, "https") == "https://[::1]:80"
