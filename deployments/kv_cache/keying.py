"""Which keys stand for prefixes in one fleet: reporters and gateways make the same, out of the secret in use."""

from __future__ import annotations

from cluster.fleet_secrets import FleetSecrets
from deployments.routing.keys import PrefixKeys


def prefix_keys(secrets: FleetSecrets) -> PrefixKeys:
    """The keys of the first secret: a prefix has one key at a time, also while another secret is accepted."""
    return PrefixKeys(secrets.derive("prefix keys"))
