"""The fleet's keys for its engines, derived from the secrets file of this node and read again when it changes.

Another user of a node may listen where an engine listened, or is to listen. So each key opens the engine of one address
alone, and whoever is not sure of an engine has it prove itself before it sends a key.
"""

from __future__ import annotations

import base64
import hmac
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from cluster.addresses import host_in_url, ip_address
from cluster.fleet_secrets import FleetSecrets, SecretsError, file_stamp, read_secrets, secrets_path

if TYPE_CHECKING:
    from cluster.fleet import Fleet

SECRETS_VARIABLE = "MIXFLEET_SECRETS_FILE"
"""Tells an engine's process where the secrets file is. No secret is ever in an environment or on a command line."""

PURPOSE = "engine"
REQUEST, PROOF = b"request ", b"proof "
"""What the fleet's key is used for at one address: to ask its engine, and to recognise it."""

CHALLENGE_HEADER, PROOF_HEADER = "X-Mixfleet-Challenge", "X-Mixfleet-Proof"
"""Of a request without a key, and of its refusal."""

MOST_CHALLENGE = 100
"""Characters of a challenge. A longer one is not answered."""

DEFAULT_PORTS = {"http": 80, "https": 443}
MOST_ADDRESSES = 10_000
"""Whose keys are kept at hand."""

RECHECK_S = 1.0
"""A secret that was removed from the file opens no engine for longer than this, in seconds."""

logger = logging.getLogger("mixfleet.engine_access")


def engine_address(host: str, port: int) -> str:
    """What an engine's keys belong to. `host`: an address in any of its spellings."""
    return f"{host_in_url(str(ip_address(host) or host))}:{port}"


def address_in_url(url: str) -> str:
    """As `engine_address`. Raises ValueError."""
    split = urlsplit(url)
    return engine_address(split.hostname or "", split.port or DEFAULT_PORTS.get(split.scheme, 0))


def _proof_of(challenge: str) -> bytes:
    return PROOF + challenge.encode("utf-8", "surrogateescape") + b" "


class EngineKeys:
    """The keys of a secrets file. Of each address the first is sent, and all are accepted."""

    def __init__(self, file: Path) -> None:
        """Raises SecretsError where the file cannot be used."""
        self._file = file.expanduser()
        self._stamp = file_stamp(self._file)
        self._checked = time.monotonic()
        self._use(read_secrets(self._file))

    @classmethod
    def of_fleet(cls, fleet: Fleet) -> Self:
        """The keys that this fleet's engines accept. Raises SecretsError."""
        return cls(secrets_path(fleet.name, fleet.secrets_file))

    @classmethod
    def of_environment(cls) -> Self:
        """The keys of the file that an engine's environment names. Raises SecretsError, also where it names none."""
        file = os.environ.get(SECRETS_VARIABLE)
        if not file:
            raise SecretsError(
                f"{SECRETS_VARIABLE} names no secrets file, and an engine never starts without a key; "
                "set it to the fleet's `secrets_file`"
            )
        return cls(Path(file))

    def headers(self, url: str) -> dict[str, str]:
        """What goes with every request to the engine with this URL."""
        self._reread(RECHECK_S)
        headers = self._headers.get(url)
        if headers is None:
            if len(self._headers) >= MOST_ADDRESSES:
                self._headers.clear()
            (token, *_) = self._tokens(REQUEST, address_in_url(url))
            headers = self._headers[url] = {"Authorization": f"Bearer {token.decode()}"}
        return headers

    def accepts(self, authorization: bytes | None, address: str) -> bool:
        """Whether an `Authorization` header has one of the keys of this `engine_address`. Its time does not depend on
        which, or how nearly."""
        self._reread(RECHECK_S)
        scheme, _, token = (authorization or b"").partition(b" ")
        token = token.strip()
        # The gateway may know of a new secret before this process does.
        known = self._is_one(token, REQUEST, address) or (self._reread(0) and self._is_one(token, REQUEST, address))
        return known and scheme.lower() == b"bearer"

    def proof(self, challenge: str, address: str) -> str:
        """What the engine at this `engine_address` answers to a challenge; '' to one that is too long."""
        self._reread(RECHECK_S)
        if len(challenge) > MOST_CHALLENGE:
            return ""
        return self._tokens(_proof_of(challenge), address)[0].decode()

    def proves(self, proof: str, challenge: str, url: str) -> bool:
        """Whether this is the answer of the fleet's engine with this URL."""
        token, use, address = proof.encode("utf-8", "surrogateescape"), _proof_of(challenge), address_in_url(url)
        return self._is_one(token, use, address) or (self._reread(0) and self._is_one(token, use, address))

    def _is_one(self, token: bytes, use: bytes, address: str) -> bool:
        # All are compared, so that the time does not tell which of them it was.
        equal = [hmac.compare_digest(token, accepted) for accepted in self._tokens(use, address)]
        return any(equal)

    def _tokens(self, use: bytes, address: str) -> list[bytes]:
        """One of each secret."""
        content = use + address.encode()
        return [base64.urlsafe_b64encode(hmac.digest(key, content, "sha256")) for key in self._accepted]

    def _reread(self, after_s: float) -> bool:
        """Reads the file again where it has changed and the last look was `after_s` ago. Returns whether it did."""
        now = time.monotonic()
        if now - self._checked < after_s:
            return False
        self._checked = now
        stamp = file_stamp(self._file)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._use(read_secrets(self._file))
        except SecretsError as error:
            logger.warning("the keys stay as they are: %s", error)
            return False
        return True

    def _use(self, secrets: FleetSecrets) -> None:
        self._accepted = secrets.accepted(PURPOSE)
        self._headers: dict[str, dict[str, str]] = {}
