"""Which IP addresses are public: media is fetched from no others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NOT_PUBLIC = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # Azure's metadata and DNS, at a public address
        *("::/96", "64:ff9b:1::/48", "100::/64", "2001:db8::/32", "3fff::/20", "5f00::/16"),
        *("fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
)
"""Private, shared, loopback, link-local, metadata, documentation, multicast and reserved networks."""

NAT64 = IPv6Network("64:ff9b::/96")


def is_public(text: str, but: Iterable[Network] = ()) -> bool:
    """Whether media may be fetched from an IP address: a public one, or one in a network of `but`.

    An IPv6 address that carries an IPv4 address is as public as that one is.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if any(_within(address, network) for network in but):
        return True
    return all(_is_public(one) for one in (address, *_carried(address)))


def _is_public(address: Address) -> bool:
    return address.is_global and not address.is_multicast and not any(_within(address, net) for net in NOT_PUBLIC)


def _carried(address: Address) -> Iterator[IPv4Address]:
    """IPv4 addresses within an IPv6 one: mapped, 6to4, Teredo and NAT64."""
    if isinstance(address, IPv4Address):
        return
    if address.ipv4_mapped:
        yield address.ipv4_mapped
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
    if address in NAT64:
        yield IPv4Address(int(address) & 0xFFFFFFFF)


def _within(address: Address, network: Network) -> bool:
    return address.version == network.version and address in network
