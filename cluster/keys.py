"""Clients' keys: made, digested, and read from files. No message of this module holds a key."""

from __future__ import annotations

import codecs
import hashlib
import re
import secrets
from pathlib import Path

KEY = re.compile(rb"[!-~]{16,512}")
"""What can be a key: visible ASCII, so that it fits into a header; long enough that nobody guesses it."""

MOST_BYTES = 2**20


class KeyFileError(ValueError):
    """A file of keys that cannot be used. The message is for the person who runs the fleet."""


def new_key() -> str:
    """A random key of 256 bits."""
    return f"mixfleet-{secrets.token_urlsafe(32)}"


def digest(key: str | bytes) -> str:
    """SHA-256 in hex. A fast digest is enough: nobody can try all keys of 256 random bits."""
    return hashlib.sha256(key.encode() if isinstance(key, str) else key).hexdigest()


def key_lines(content: bytes) -> list[tuple[int, bytes]]:
    """The lines of a file with a key on each, and their numbers; without blank ones and those that begin with #."""
    lines = [(number, line.strip()) for number, line in enumerate(content.splitlines(), 1)]
    return [(number, line) for number, line in lines if line and not line.startswith(b"#")]


def read_key_file(path: str) -> list[str]:
    """Digests of a file's keys: one key per line; blank lines and those that begin with # count for nothing.

    Raises KeyFileError where the file cannot be read, holds none, or has a line that is no key.
    """
    file = Path(path).expanduser()
    try:
        if file.exists() and not file.is_file():
            raise KeyFileError(f"key file {file}: not a file; give one with a key per line")
        with file.open("rb") as content:
            raw = content.read(MOST_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"key file {file}: {error.strerror}; it must be readable where the gateway runs") from None
    if len(raw) > MOST_BYTES:
        raise KeyFileError(f"key file {file}: more than {MOST_BYTES} bytes; give one with a key per line")
    keys = key_lines(raw.removeprefix(codecs.BOM_UTF8))
    for number, key in keys:
        if not KEY.fullmatch(key):
            raise KeyFileError(
                f"key file {file}:{number}: not a key, which has 16 to 512 visible ASCII characters and no blank; "
                "`mixfleet key` makes one"
            )
    if not keys:
        raise KeyFileError(f"key file {file}: no key in it; put one on each line")
    return [digest(key) for _, key in keys]
