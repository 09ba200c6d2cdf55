"""Where the registry listens, in the key-value store of Ray's GCS: whoever may call Ray's servers finds it there.

A call of a Serve handle would do the same, but its caller could stop the registry: Ray's generators, on which handles
are built, wait for a caller that is frozen.
"""

from __future__ import annotations

from ray.experimental import internal_kv

from deployments.registry.messages import RegistryAddress, UnreadableMessage, decode_address, encode

NAMESPACE = b"mixfleet"
KEY = b"registry"


def publish(address: RegistryAddress) -> None:
    """Takes the place of what another registry has published. Blocks."""
    internal_kv._internal_kv_put(KEY, encode(address), overwrite=True, namespace=NAMESPACE)


def withdraw(registry: str) -> None:
    """Removes the address of this incarnation, unless another one's has taken its place. Blocks."""
    found = find()
    if found and found.registry == registry:
        internal_kv._internal_kv_del(KEY, namespace=NAMESPACE)


def find() -> RegistryAddress | None:
    """The address of the registry; None where there is none, or one of another version. Blocks."""
    found = internal_kv._internal_kv_get(KEY, namespace=NAMESPACE)
    try:
        return decode_address(found) if found else None
    except UnreadableMessage:
        return None
