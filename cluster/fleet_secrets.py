"""The fleet's secrets: what its own processes prove to each other who they are with. No message here holds one."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cluster.cache_folder import project_cache
from cluster.keys import KEY, MOST_BYTES, key_lines

FOLDER = "secrets"
"""Within the cache folder: the files of fleets that name none."""


class SecretsError(ValueError):
    """A file of secrets that cannot be used. The message is for the person who runs the fleet."""


@dataclass(frozen=True)
class FleetSecrets:
    """One or more secrets. The first is used; all are accepted, so that one can be replaced while the fleet runs."""

    values: tuple[bytes, ...] = field(repr=False)

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose, of the secret in use. Who learns them learns neither the secret nor other ones."""
        return _derive(self.values[0], purpose)

    def accepted(self, purpose: str) -> tuple[bytes, ...]:
        """As `derive`, of every secret."""
        return tuple(_derive(value, purpose) for value in self.values)


def _derive(secret: bytes, purpose: str) -> bytes:
    return hmac.digest(secret, f"mixfleet {purpose}".encode(), hashlib.sha256)


def secrets_path(fleet_name: str, secrets_file: str | None) -> Path:
    """The file that the fleet names, or that of its name in this user's cache folder."""
    return Path(secrets_file).expanduser() if secrets_file else project_cache() / FOLDER / fleet_name


def provide_secrets(fleet_name: str, secrets_file: str | None) -> None:
    """Makes the file of a fleet that names none, on the machine where it starts. Raises SecretsError.

    A file that the fleet names is the operator's: each process that needs it says so where it is missing.
    """
    if secrets_file is None:
        make_secrets(secrets_path(fleet_name, None))


def read_secrets(path: Path) -> FleetSecrets:
    """Reads a file with a secret on each line; blank lines and those that begin with # are skipped.

    Raises SecretsError where it cannot be read, where others than its owner may read it, or where a line is no secret.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise SecretsError(f"secrets file {path}: not a file; give one with a secret per line")
            if mode & stat.S_IRWXO:
                raise SecretsError(f"secrets file {path}: every user of this machine may read it; run chmod 600 on it")
            raw = file.read(MOST_BYTES)
    except OSError as error:
        raise SecretsError(
            f"secrets file {path}: {error.strerror}; it must be the same on every node of the fleet "
            "(`secrets_file` in the fleet file names it, `mixfleet key` makes a secret)"
        ) from None
    values = key_lines(raw)
    for number, value in values:
        if not KEY.fullmatch(value):
            raise SecretsError(
                f"secrets file {path}:{number}: not a secret, which has 16 to 512 visible ASCII characters; "
                "`mixfleet key` makes one"
            )
    if not values:
        raise SecretsError(f"secrets file {path}: no secret in it; `mixfleet key` makes one")
    return FleetSecrets(tuple(value for _, value in values))


def file_stamp(path: Path) -> tuple[int, int, int] | None:
    """Changes with a file's content, and with its mode: not to be readable by all is what a file may lack. None where
    it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ctime_ns, found.st_ino, found.st_size


class SecretsWatch:
    """Tells when a file holds other secrets. Make it before these are read for use. Its methods block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp = file_stamp(path)
        self._secrets = _usable(path)

    def changed(self) -> bool:
        """Whether there are other secrets now than when it was asked last. A file that cannot be used has the former
        ones."""
        stamp = file_stamp(self.path)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        former, self._secrets = self._secrets, _usable(self.path) or self._secrets
        return self._secrets != former


def _usable(path: Path) -> FleetSecrets | None:
    try:
        return read_secrets(path)
    except SecretsError:
        return None


def make_secrets(path: Path) -> FleetSecrets:
    """Makes the file with a random secret, readable by this user alone, unless it is there; then reads it.

    Raises SecretsError. Of several processes that make it at once, all get the same secret.
    """
    if not path.exists():
        try:
            _write_new(path)
        except OSError as error:
            raise SecretsError(
                f"secrets file {path} cannot be made: {error.strerror}; set XDG_CACHE_HOME to a folder that you may "
                "write, or name a file as `secrets_file` in the fleet file"
            ) from None
    return read_secrets(path)


def _write_new(path: Path) -> None:
    """Raises OSError; a file that is there meanwhile stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()


def open_secrets(fleet_name: str, secrets_file: str | None) -> FleetSecrets:
    """Reads the fleet's secrets, which its start has made where it names no file. Raises SecretsError."""
    return read_secrets(secrets_path(fleet_name, secrets_file))
