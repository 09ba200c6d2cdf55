"""Whom a request came from, as the proxies in front of the gateway say: `X-Forwarded-For` and `Forwarded` (RFC 7239).

Any client may send these headers, so they are read only where the connection comes from a trusted proxy, and from the
right, where each proxy adds what it has seen itself.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence

from multidict import CIMultiDictProxy

from deployments.gateway.media.public_addresses import Address, Network

FORWARDED_FOR, FORWARDED = "X-Forwarded-For", "Forwarded"
MOST_HOPS = 16
"""Proxies in a row. What stands further left is not looked at."""

HOST_AND_PORT = re.compile(r"\[(?P<v6>[0-9A-Fa-f:.]+)\](?::\w+)?|(?P<v4>[0-9.]+)(?::\w+)?")
PAIR = re.compile(r'[\t ]*(?P<name>[\w-]+)=(?P<value>[\w.:!#$%&\'*+^`|~-]+|"(?:[^"\\]|\\.)*")[\t ]*(?P<end>[;,]|\Z)')
"""One `name=value` of a `Forwarded` header, with what separates it from the next."""


def client_address(peer: str, headers: CIMultiDictProxy[str], trusted: Sequence[Network]) -> str:
    """The client's address: the first from the right that is no trusted proxy's.

    What a proxy says is believed as long as it can be read. Where both headers are there and name different clients,
    one of them is not the proxy's own, and neither is believed.
    """
    address = _address(peer)
    if address is None:
        return peer
    if not _is_trusted(address, trusted):
        return str(address)
    found = {_walk(address, said, trusted) for said in (_forwarded_for(headers), _forwarded(headers)) if said}
    return str(found.pop() if len(found) == 1 else address)


def _walk(peer: Address, said: Sequence[str], trusted: Sequence[Network]) -> Address:
    """`said`: what each proxy says of the one before it, the nearest first."""
    found = peer
    for text in said:
        address = _address(text)
        if address is None:
            break
        found = address
        if not _is_trusted(found, trusted):
            break
    return found


def _forwarded_for(headers: CIMultiDictProxy[str]) -> list[str]:
    said: list[str] = []
    for line in reversed(headers.getall(FORWARDED_FOR, [])):
        said += reversed(line.rsplit(",", MOST_HOPS)[-MOST_HOPS:])
        if len(said) >= MOST_HOPS:
            break
    return said[:MOST_HOPS]


def _forwarded(headers: CIMultiDictProxy[str]) -> list[str]:
    """The `for` of each element; '' for one that has none."""
    said: list[str] = []
    for line in reversed(headers.getall(FORWARDED, [])):
        elements = list(_elements(line))
        said += reversed(elements)
        if "" in elements or len(said) >= MOST_HOPS:
            break
    return said[:MOST_HOPS]


def _elements(line: str) -> Iterator[str]:
    """Of one header line, from the left: a quoted string may hold what separates elements."""
    position, named = 0, ""
    while position < len(line):
        pair = PAIR.match(line, position)
        if pair is None:
            yield ""
            return
        if pair["name"].lower() == "for":
            named = pair["value"].strip('"')
        if pair["end"] != ";":
            yield named
            named = ""
        position = pair.end()


def _address(text: str) -> Address | None:
    text = text.strip()
    parts = HOST_AND_PORT.fullmatch(text)
    try:
        address = ipaddress.ip_address(parts["v6"] or parts["v4"] if parts else text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)
