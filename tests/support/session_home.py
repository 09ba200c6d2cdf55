"""A home and a temporary folder for one session of tests, so that nothing is written beside the user's own files."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

MARKER = "MIXFLEET_TEST_SESSION"
"""Every process that a session of tests starts inherits this variable, and is found by it at the end."""

EXPECTED = ("home", "ray", "pytest-of-*", "torchinductor_*", "ray-config-*", "pymp-*", "mixfleet-engine-*")
"""Names that may be left in the temporary folder: the home, what Ray, pytest and PyTorch leave, and the folder of an
engine whose node was killed."""


@dataclass(frozen=True)
class SessionHome:
    """The folder and the identity of a session.

    The folder's path is short, because Ray's sockets lie below it and a socket's path may have 107 characters.
    """

    folder: Path
    identity: str

    @classmethod
    def enter(cls) -> SessionHome:
        """Makes the folder, and points HOME, TMPDIR and the marker of this process at it.

        The user's caches and configurations stay where they are: checkpoints are prepared once for all sessions.
        """
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        config = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        made = cls(Path(tempfile.mkdtemp(prefix="t-")), uuid.uuid4().hex)
        token = made.folder / "home" / ".ray" / "auth_token"
        token.parent.mkdir(parents=True)
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        os.environ |= {
            "HOME": str(made.folder / "home"),
            "TMPDIR": str(made.folder),
            "XDG_CACHE_HOME": cache,
            "XDG_CONFIG_HOME": config,
            MARKER: made.identity,
            "RAY_AUTH_MODE": "token",  # else a Ray wants the token or not by whether another test has made one
            "SPT_NOENV": "1",  # Ray's process titles would be written over the environment, and the marker with it
        }
        tempfile.tempdir = None
        return made

    def unexpected(self) -> list[str]:
        """Names of what lies in the temporary folder and should have been removed by whoever made it."""
        return sorted(
            entry.name for entry in self.folder.iterdir() if not any(entry.match(pattern) for pattern in EXPECTED)
        )

    def processes(self) -> dict[int, str]:
        """Process id -> command line of all processes of the session but this one, zombies excluded."""
        mark = f"{MARKER}={self.identity}".encode()
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            if int(entry.name) == os.getpid():
                continue
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes()
            except OSError:
                continue
        return {pid: line.replace(b"\0", b" ").decode(errors="replace") for pid, line in found.items() if line}

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
