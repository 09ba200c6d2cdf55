"""The fleet's keys for its engines, derived from the secrets file of this node and read again when it changes."""

from __future__ import annotations

import base64
import hmac
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cluster.fleet_secrets import FleetSecrets, SecretsError, read_secrets, secrets_path

if TYPE_CHECKING:
    from cluster.fleet import Fleet

SECRETS_VARIABLE = "MIXFLEET_SECRETS_FILE"
"""Tells an engine's process where the secrets file is. No secret is ever in an environment or on a command line."""

PURPOSE = "engine"
RECHECK_S = 1.0
"""A secret that was removed from the file opens no engine for longer than this, in seconds."""

logger = logging.getLogger("mixfleet.engine_access")


class EngineKeys:
    """The keys of a secrets file: the first is sent, all are accepted."""

    def __init__(self, file: Path) -> None:
        """Raises SecretsError where the file cannot be used."""
        self._file = file.expanduser()
        self._stamp = self._present_stamp()
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

    def headers(self) -> dict[str, str]:
        """What goes with every request to an engine."""
        self._reread(RECHECK_S)
        return {"Authorization": self._sent}

    def accepts(self, authorization: bytes | None) -> bool:
        """Whether an `Authorization` header has one of the keys. Its time does not depend on which, or how nearly."""
        self._reread(RECHECK_S)
        # The gateway may know of a new secret before this process does.
        return self._matches(authorization) or (self._reread(0) and self._matches(authorization))

    def _matches(self, authorization: bytes | None) -> bool:
        scheme, _, token = (authorization or b"").partition(b" ")
        # All keys are compared, so that the time does not tell which of them it was.
        equal = [hmac.compare_digest(token.strip(), accepted) for accepted in self._accepted]
        return any(equal) and scheme.lower() == b"bearer"

    def _reread(self, after_s: float) -> bool:
        """Reads the file again where it has changed and the last look was `after_s` ago. Returns whether it did."""
        now = time.monotonic()
        if now - self._checked < after_s:
            return False
        self._checked = now
        stamp = self._present_stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._use(read_secrets(self._file))
        except SecretsError as error:
            logger.warning("the keys stay as they are: %s", error)
            return False
        return True

    def _present_stamp(self) -> tuple[int, int, int] | None:
        """Changes with the file's content, and with its mode: not to be readable by all is what a file may lack."""
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_ctime_ns, found.st_ino, found.st_size

    def _use(self, secrets: FleetSecrets) -> None:
        self._accepted = [base64.urlsafe_b64encode(key) for key in secrets.accepted(PURPOSE)]
        self._sent = f"Bearer {self._accepted[0].decode()}"
