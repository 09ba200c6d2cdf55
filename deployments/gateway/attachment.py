"""How a Serve actor attaches to the supervisor of its node: by a socket that only this user's processes may use."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable

from deployments.gateway.control_channel import Channel

CONNECT_TIMEOUT_S = 5.0
CREDENTIALS = struct.Struct("3i")
"""pid, uid and gid, as SO_PEERCRED tells them."""


def socket_name(*parts: str) -> str:
    """An abstract address for the supervisor that these words name: it leaves no file, and ends with its owner."""
    return f"\0mixfleet-gateway-{os.getuid()}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}"


async def attach(name: str) -> Channel | None:
    """A channel to the supervisor of that name; None where there is none."""
    try:
        return await Channel.over(await asyncio.to_thread(_connected, name))
    except OSError:
        return None


def _connected(name: str) -> socket.socket:
    """By hand: uvloop takes an abstract address for an empty path. Raises OSError."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.settimeout(CONNECT_TIMEOUT_S)
        made.connect(name)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


async def listen(name: str, attached: Callable[[Channel], Awaitable[None]]) -> asyncio.Server:
    """Calls `attached` for each process of this user that connects. Raises OSError where the name is taken."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        _, uid, _ = CREDENTIALS.unpack(peer)
        if uid == os.getuid():
            await attached(Channel(reader, writer))
        writer.close()

    return await asyncio.start_unix_server(connected, name)
