"""Requests without a connection, and what uploads are made of."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import Iterable, Mapping

from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

_arriving: set[asyncio.Task[None]] = set()


def arriving_request(pieces: Iterable[bytes], headers: Mapping[str, str]) -> web.Request:
    """A POST whose body arrives in these pieces, one for each turn of the event loop."""
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.connection_made(asyncio.Transport())
    stream = StreamReader(protocol, 2**40, loop=loop)  # it never asks a connection to pause

    async def arrive() -> None:
        for piece in pieces:
            stream.feed_data(piece)
            await asyncio.sleep(0)
        stream.feed_eof()

    task = loop.create_task(arrive())
    _arriving.add(task)
    task.add_done_callback(_arriving.discard)
    return make_mocked_request("POST", "/", headers=headers, payload=stream)


def recording(seconds: float, rate: int = 16_000) -> bytes:
    """A WAV file of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(bytes(2 * int(rate * seconds)))
    return file.getvalue()


def part(name: str, value: bytes, *, filename: str | None = None, content_type: str | None = None) -> bytes:
    """One part of a form, without its boundary."""
    head = f'Content-Disposition: form-data; name="{name}"'
    head += f'; filename="{filename}"' if filename else ""
    head += f"\r\nContent-Type: {content_type}" if content_type else ""
    return head.encode() + b"\r\n\r\n" + value


def form(parts: Iterable[bytes], boundary: bytes) -> bytes:
    return b"".join(b"--%b\r\n%b\r\n" % (boundary, one) for one in parts) + b"--%b--\r\n" % boundary


def parts_of(body: bytes, boundary: bytes) -> list[tuple[bytes, bytes]]:
    """Heads and values of a form whose boundary occurs nowhere else. Raises AssertionError where it is no form."""
    first, *parts, last = (b"\r\n" + body).split(b"\r\n--" + boundary)
    assert (first, last) == (b"", b"--\r\n")
    split = [one.partition(b"\r\n\r\n") for one in parts]
    assert all(head.startswith(b"\r\n") and blank for head, blank, _ in split)
    return [(head.removeprefix(b"\r\n"), value) for head, _, value in split]
