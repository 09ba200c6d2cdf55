"""Digests of bearer keys, and who owns each."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

from cluster.keys import KeyFileError, digest, read_key_file
from deployments.gateway.errors.error_object import ApiError

Owner = TypeVar("Owner")


class KeyHolder(Protocol):
    """A tenant or an operator as the fleet file lists it."""

    @property
    def name(self) -> str: ...
    @property
    def key_sha256(self) -> list[str]: ...
    @property
    def key_file(self) -> str | None: ...


class Keyring(Generic[Owner]):
    """Finds the owner of the key in a request's headers."""

    def __init__(self, realm: str, kind: str) -> None:
        """`realm`: the fleet's name. `kind`: what an owner is called in messages."""
        self._realm, self._kind = realm, kind
        self._owners: dict[bytes, tuple[str, Owner]] = {}

    def add(self, owner: Owner, holder: KeyHolder) -> None:
        """Takes the keys that the fleet file lists for `owner`. Raises KeyFileError where another has one of them."""
        from_file = read_key_file(holder.key_file) if holder.key_file is not None else []
        for written in [*holder.key_sha256, *from_file]:
            name, known = self._owners.setdefault(bytes.fromhex(written), (holder.name, owner))
            if known is not owner:
                raise KeyFileError(f"{self._kind}s '{name}' and '{holder.name}' share a key; give each its own")

    def find(self, headers: Mapping[str, str]) -> Owner:
        """The owner of the key in `Authorization: Bearer KEY`. Raises ApiError 401 where there is none.

        The key's digest is compared with every known one, so that the time it takes tells nothing of them.
        """
        value = headers.get("Authorization")
        if value is None:
            raise self._refusal("you sent no key; send one as `Authorization: Bearer KEY`", None)
        scheme, _, key = value.strip().partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise self._refusal("the Authorization header is not of the form `Bearer KEY`; send it so", None)
        digested = bytes.fromhex(digest(key.strip().encode("utf-8", "surrogateescape")))
        found = None
        for known, owner in self._owners.items():
            if hmac.compare_digest(known, digested):
                found = owner
        if found is None:
            raise self._refusal(f"no {self._kind} of this fleet has the key that you sent; check it", "invalid_api_key")
        return found[1]

    def _refusal(self, message: str, code: str | None) -> ApiError:
        challenge = f'Bearer realm="{self._realm}"' + (', error="invalid_token"' if code else "")
        return ApiError(401, message, code=code, headers={"WWW-Authenticate": challenge})
