"""A fleet that answers everyone who reaches it, and what to say of that."""

from __future__ import annotations

from cluster.addresses import host_in_url, is_loopback
from cluster.fleet import Fleet


def open_to_all(fleet: Fleet) -> str:
    """The line that warns of a gateway which other machines reach and which asks for no key; '' where it is closed."""
    if fleet.tenants or is_loopback(fleet.gateway.host):
        return ""
    more = "" if fleet.operators else " and read its metrics"
    return (
        f"warning: fleet '{fleet.name}' has no tenants: everyone who reaches "
        f"{host_in_url(fleet.gateway.host)}:{fleet.gateway.port} may ask its models{more}; "
        "add `tenants` (`mixfleet key` makes a key), or set gateway.host to 127.0.0.1"
    )
