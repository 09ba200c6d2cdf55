"""What keeps one client's cached prompts from another: digests that only the gateway can name."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

SALT_BYTES = 32
"""As hex 64 characters; engines take at most 128, of which none is '@' or '/'."""


def engine_salt(tenant: str, client: str) -> str:
    """The `cache_salt` of an engine for a tenant's salt and the one that the client sent; '' where there is neither.

    Both lengths are part of the digest, so that no client can spell another tenant's salt in its own.
    """
    if not tenant and not client:
        return ""
    digest = blake2b(digest_size=SALT_BYTES, person=b"mixfleet.salt")
    for part in (tenant, client):
        data = part.encode(errors="surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def client_salt(body: dict[str, Any]) -> str | None:
    """The salt that the client sent; '' for none, None for one that the engine will refuse.

    An empty text is none: engines take it for no salt, and the tenant's must not be left out for it.
    """
    given = body.get("cache_salt")
    if given is None:
        return ""
    return given if isinstance(given, str) else None
