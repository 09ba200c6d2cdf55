"""How a Serve actor attaches to the supervisor of its node: by a socket that only this user's processes may use.

Any user of the node may listen at any abstract address that is free, and keep it from us. So each side looks at whose
process the other one is, and a supervisor's address has a random end, by which nobody can take it beforehand.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from deployments.gateway.supervision.control_channel import Channel

BUSY_TIMEOUT_S = 5.0
"""For a supervisor to accept connections that others have made before."""
BUSY_PAUSE_S = 0.05
CREDENTIALS = struct.Struct("3i")
"""pid, uid and gid, as SO_PEERCRED tells them."""

SOCKETS = Path("/proc/net/unix")
"""The kernel's table: a line for each socket, whose fourth column says whether it listens; the address comes last."""
LISTENS = b"00010000"


def socket_name(*parts: str) -> str:
    """How the address of the supervisor that these words name begins. It is abstract: it leaves no file, and ends with
    its owner."""
    return f"mixfleet-gateway-{os.getuid()}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}"


async def attach(name: str) -> Channel | None:
    """A channel to the supervisor of that name; None where there is none."""
    found = await asyncio.to_thread(_connected, name)
    return await Channel.over(found) if found else None


def _connected(name: str) -> socket.socket | None:
    """By hand: uvloop takes an abstract address for an empty path."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        busy = False
        for address in _listening(name):
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            made.setblocking(False)
            try:
                made.connect(address)
                if _is_ours(made):
                    return made
            except OSError as error:
                busy |= error.errno == errno.EAGAIN
            made.close()
        if not busy or time.monotonic() > deadline:
            return None
        time.sleep(BUSY_PAUSE_S)


def _listening(name: str) -> list[bytes]:
    """Addresses of that name on which anyone listens."""
    columns = [line.split(maxsplit=7) for line in SOCKETS.read_bytes().splitlines()]
    start = f"@{name}-".encode()
    return [b"\0" + row[7][1:] for row in columns if len(row) == 8 and row[3] == LISTENS and row[7].startswith(start)]


def _is_ours(connected: socket.socket) -> bool:
    """Whether a process of this user is at the other end."""
    peer = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, uid, _ = CREDENTIALS.unpack(peer)
    return bool(uid == os.getuid())


async def listen(name: str, attached: Callable[[Channel], Awaitable[None]]) -> asyncio.Server:
    """Calls `attached` for each process of this user that connects. Raises OSError where another one listens already.

    On an event loop of asyncio's own.
    """
    if other := await asyncio.to_thread(_connected, name):
        other.close()
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if _is_ours(writer.get_extra_info("socket")):
            await attached(Channel(reader, writer))
        writer.close()

    return await asyncio.start_unix_server(connected, f"\0{name}-{secrets.token_hex(16)}")
