"""Private, loopback, link-local, metadata and reserved addresses are not public, however they are written in IPv6."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.gateway.media.public_addresses import is_public

PRIVATE = [
    *("0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.9.9.9", "169.254.169.254"),
    *("172.16.0.1", "172.31.255.255", "192.168.1.1", "192.0.0.170", "192.88.99.1", "198.18.0.1", "168.63.129.16"),
    *("224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.51.100.1", "203.0.113.1"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "172.32.0.1", "192.0.1.1", "2606:4700::1111", "2001:4860:4860::8888"]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_ipv4_addresses_in_every_writing(address: str) -> None:
    number = int(IPv4Address(address))
    written = [
        address,
        str(IPv6Address((0xFFFF << 32) | number)),  # mapped
        str(IPv6Address(number)),  # compatible
        str(IPv6Address((0x2002 << 112) | (number << 80))),  # 6to4
        str(IPv6Address((0x64FF9B << 96) | number)),  # NAT64
        str(IPv6Address((0x64FF9B0001 << 80) | number)),  # local NAT64
        str(IPv6Address((0x20010000 << 96) | (0x08080808 << 64) | (number ^ 0xFFFFFFFF))),  # Teredo
    ]
    assert [one for one in written if is_public(one)] == []


@pytest.mark.parametrize(
    "address",
    [
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
        *("100::1", "3fff::1", "", "localhost", "127.1", "0x7f.1", "2130706433", "1.2.3.4:80"),
    ],
)
def test_other_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


def test_a_public_ipv4_address_is_public_in_ipv6() -> None:
    assert is_public("::ffff:8.8.8.8")
    assert is_public("64:ff9b::808:808")


@given(st.ip_addresses(network="10.0.0.0/8") | st.ip_addresses(network="fc00::/7"))
def test_networks_of_the_fleet_file_are_excepted(address: IPv4Address | IPv6Address) -> None:
    assert not is_public(str(address))
    assert is_public(str(address), [ip_network("10.0.0.0/8"), ip_network("fc00::/7")])
    assert not is_public(str(address), [ip_network("192.168.0.0/16")])
