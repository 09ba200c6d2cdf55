"""The registry's socket keys, from the secrets file of this node."""

from __future__ import annotations

from cluster.fleet_secrets import open_secrets
from deployments.encrypted_sockets import SocketKeys

PURPOSE = "registry"
"""Of the socket keys of the registry and its participants."""


def registry_keys(fleet: str, secrets_file: str | None) -> SocketKeys:
    """Read anew each time, so that a secret can be replaced while the fleet runs. Blocks. Raises SecretsError."""
    return SocketKeys.of(open_secrets(fleet, secrets_file), PURPOSE)
