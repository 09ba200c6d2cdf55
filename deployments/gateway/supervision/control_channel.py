"""Messages between processes of one machine, over a stream socket. No sender ever waits for its receiver."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Self

import msgspec

from deployments.gateway.supervision.control_messages import Message

LENGTH = struct.Struct("<I")
MOST_MESSAGE = 64 * 2**20
MOST_UNREAD = 8 * 2**20
"""Bytes that wait for a receiver. A frozen one gets no more: each message is made good by a later one."""

_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


class Channel:
    """One end. Belongs to one event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def over(cls, connected: socket.socket) -> Self:
        """Over a socket that is connected already, which the channel then owns."""
        return cls(*await asyncio.open_unix_connection(sock=connected))

    def send(self, message: Message) -> bool:
        """Never waits. False where the receiver is gone, or has not read for so long that nothing more is kept."""
        transport = self._writer.transport
        if transport.is_closing() or transport.get_write_buffer_size() > MOST_UNREAD:
            return False
        encoded = msgspec.msgpack.encode(message)
        self._writer.write(LENGTH.pack(len(encoded)) + encoded)
        return True

    async def receive(self) -> Message | None:
        """The next message; None once the other end is gone, or sends what is no message."""
        try:
            (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
            if length > MOST_MESSAGE:
                return None
            return _DECODER.decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError, msgspec.DecodeError):
            return None

    def close(self) -> None:
        self._writer.close()
