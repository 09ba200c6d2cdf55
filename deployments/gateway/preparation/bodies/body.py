"""A request's body as it is received: in memory where it is small, else in an anonymous file that workers can read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.bodies.byte_budget import ByteClaim

INLINE_BYTES = 2048
"""Bodies up to here are prepared on the event loop. The slowest text of this length, a run of one letter, takes
Harmony's tokenizer under 3 ms: its time grows with the square of such a run, 0.27 s for 20,000 letters."""

CHUNK = 256 * 1024
CLOSED_INLINE_BYTES = 2**20
"""Larger files are closed by a thread: the kernel takes 2 ms to free the pages of 10 MB."""

_closing = ThreadPoolExecutor(1, "close-bodies")


class BodyFile:
    """An anonymous file in memory. It ends with the last process that has it open."""

    def __init__(self, name: str) -> None:
        self.fd = os.memfd_create(name)

    @property
    def size(self) -> int:
        """In bytes, with what other processes have written."""
        return os.fstat(self.fd).st_size

    def read(self) -> bytes:
        return os.pread(self.fd, self.size, 0)

    async def pieces(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The content from `start` to before `end`, for one attempt. Between two pieces the event loop serves others:
        a connection that takes all at once would otherwise have all of it."""
        position, end = start, self.size if end is None else end
        while piece := os.pread(self.fd, min(CHUNK, end - position), position):
            position += len(piece)
            yield piece
            await asyncio.sleep(0)

    def close(self) -> None:
        if self.fd >= 0:
            if self.size > CLOSED_INLINE_BYTES:
                _closing.submit(os.close, self.fd)
            else:
                os.close(self.fd)
            self.fd = -1


def write_all(fd: int, data: bytes) -> None:
    """Appends all of it, in as many writes as that takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def check_length(request: web.Request, most: int, what: str) -> None:
    """Raises ApiError 413 where the client says that it sends more than `most` bytes."""
    if request.content_length is not None and request.content_length > most:
        raise too_large(what, most)


def too_large(what: str, most: int) -> ApiError:
    return ApiError(413, f"{what} may have at most {most / 2**20:g} MiB; send a smaller one")


async def receive(
    request: web.Request, most_bytes: int, claim: ByteClaim, what: str, inline_bytes: int
) -> bytes | BodyFile:
    """The whole body as it comes: bytes up to `inline_bytes`, else a file, which the caller closes.

    With `inline_bytes=-1` it is always a file. `what` names the body in messages. Raises ApiError 413 or 503.
    """
    check_length(request, most_bytes, what)
    claim.promise(request.content_length)
    head = b""
    file = BodyFile("body") if inline_bytes < 0 else None
    size = 0
    try:
        async for piece in request.content.iter_any():
            size += len(piece)
            if size > most_bytes:
                raise too_large(what, most_bytes)
            claim.arrive(len(piece))
            if file is None and size <= inline_bytes:
                head += piece
                continue
            if file is None:
                file = BodyFile("body")
                write_all(file.fd, head)
            write_all(file.fd, piece)
    except BaseException as error:
        if file:
            file.close()
        if isinstance(error, web.RequestPayloadError | HttpProcessingError | ClientPayloadError):
            raise ApiError(400, f"the transfer of {what} is malformed; check its chunks or Content-Length") from error
        raise
    return file or head
