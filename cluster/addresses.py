"""Network addresses: which are for listening alone, which stay on one machine, and how a URL writes them."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit, urlunsplit

ROUTED = {socket.AF_INET: "8.8.8.8", socket.AF_INET6: "2001:4860:4860::8888"}
"""Addresses of the internet, as Ray uses them: only the route towards them is looked up, and nothing is sent."""
LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
LOCAL_NAME = "localhost"
OF_NODE = "node"
"""As a host to listen on: the address by which Ray knows the node."""


def is_loopback(host: str) -> bool:
    """Whether only processes of the same machine reach this host."""
    address = ip_address(host)
    if address is None:
        name = host.lower().rstrip(".")
        return name == LOCAL_NAME or name.endswith(f".{LOCAL_NAME}")
    return address.is_loopback


def listens_everywhere(host: str) -> bool:
    """Whether this host is an address to listen on, and none to connect to: it stands for all of a machine's own."""
    address = ip_address(host)
    return host == "" or (address is not None and address.is_unspecified)


def reachable_host(host: str, node_address: str | None = None) -> str:
    """The host to connect to, for a server that listens on `host`, as other nodes write it.

    `node_address`: of the server's node, as Ray knows it; this machine's own address where it is None or of the other
    family.
    """
    if host == OF_NODE:
        return listening_host(host, node_address)
    if not listens_everywhere(host):
        return host
    if node_address and host == "":
        return node_address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if node_address and (":" in node_address) == (family == socket.AF_INET6):
        return node_address
    return own_address(family)


def listening_host(host: str, node_address: str | None = None) -> str:
    """The address to listen on. `node_address`: as Ray knows the node; this machine's own where there is no Ray."""
    return (node_address or own_address(socket.AF_INET)) if host == OF_NODE else host


def reachable_url(url: str) -> str:
    """The URL to connect to, where a person gave one with an address to listen on of this machine."""
    try:
        split = urlsplit(url)
        host, number = split.hostname, split.port
    except ValueError:  # whoever connects says what is wrong with it
        return url
    if not host or not listens_everywhere(host):
        return url
    user, at, _ = split.netloc.rpartition("@")
    port = f":{number}" if number else ""
    return urlunsplit(split._replace(netloc=f"{user}{at}{host_in_url(reachable_host(host))}{port}"))


def own_address(family: socket.AddressFamily) -> str:
    """This machine's address of that family towards other machines; loopback where it has no route to any."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((ROUTED[family], 9))
            return str(probe.getsockname()[0])
        except OSError:
            return _address_of_name(family)


def _address_of_name(family: socket.AddressFamily) -> str:
    """What this machine's name stands for, on a network without a way to others."""
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None, family)]
    except OSError:
        found = []
    return next((host for host in found if not (is_loopback(host) or "%" in host)), LOOPBACK[family])


def host_in_url(host: str) -> str:
    """With brackets around an address of IPv6."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def http_address(host: str, port: int, scheme: str = "http") -> str:
    """The URL of a server at this address."""
    return f"{scheme}://{host_in_url(host)}:{port}"


def ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `host` is in any of its spellings; None where it is a name."""
    bare = host.strip("[]").partition("%")[0]
    try:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address | None = ipaddress.ip_address(bare)
    except ValueError:
        try:
            # The resolver takes "0" and "127.1" for addresses, too.
            address = ipaddress.ip_address(socket.inet_aton(bare)) if bare[-1:].isdigit() else None
        except (OSError, ValueError):
            return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
