"""A stream as its client sees it: frames are passed on as they come, from one replica or from several in turn."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from deployments.gateway.errors import ApiError, error_event, readable_frames
from deployments.gateway.http_log import logger
from deployments.gateway.proxy.failures import StreamCut
from deployments.gateway.proxy.outlier_ejection import Failure
from deployments.gateway.proxy.stream_comments import StreamComments
from deployments.gateway.proxy.upstream import UpstreamAnswer
from deployments.gateway.resume import Follower
from deployments.gateway.resume.emitted import DONE
from deployments.gateway.usage import FRAME_END, AnswerUsage

CANCELLED_WITHIN_S = 5
END = DONE + FRAME_END
ERROR_EVENT = b'data: {"error"'
BREAKING = b'"error"', b'"abort"'
BROKEN_OFF = re.compile(rb'^data: \{"error"|"finish_reason":"(?:abort|error)"', re.MULTILINE)
"""How an engine says that it ends an answer before its time. Within a text of the model's the quotes are escaped."""


class ClientStream:
    """The answer to one streaming request.

    `follower` is None where no other replica could continue it. `write_timeout_s`: how long a write may wait for a
    client that does not read. It is cut off then, because its answer holds a place in an engine.
    """

    def __init__(
        self,
        response: web.StreamResponse,
        usage: AnswerUsage,
        follower: Follower | None,
        transport: asyncio.Transport | None,
        write_timeout_s: float,
        comment_after_s: float = 15.0,
    ) -> None:
        self.response, self.usage, self.follower = response, usage, follower
        self._transport, self._write_timeout_s = transport, write_timeout_s
        self.comments = StreamComments(response.write, comment_after_s)
        self.shown = False
        """Whether the client has seen any frame."""
        self.first_sent: float | None = None
        """When the first bytes of the answer were sent, by time.perf_counter()."""
        self.sent_bytes = 0
        """Of the answer, without comments."""
        self.failed = False
        """Whether it ended with an error."""

    async def pass_on(self, answer: UpstreamAnswer, splice: Callable[[bytes], bytes] | None = None) -> None:
        """Passes an answer on to its end, each part of it through `splice`. Raises StreamCut.

        Only whole frames, so that what follows a cut begins with a frame of its own.
        """
        rest, piece = b"", answer.head
        while piece:
            piece = rest + piece if rest else piece
            if piece.endswith(FRAME_END):
                rest = b""
            else:
                end = piece.rfind(FRAME_END) + len(FRAME_END)
                piece, rest = (piece[:end], piece[end:]) if end >= len(FRAME_END) else (b"", piece)
            if piece:
                await self._pass_frames(piece, splice)
            try:
                piece = await answer.next()
            except StreamCut:
                if not piece.endswith(END):
                    raise
                break  # what breaks after the stream's own end has lost nothing
        if self.follower and not self.follower.emitted.done:
            raise StreamCut("it ended without its end")
        await self._finish(rest)

    async def end(self, frames: bytes) -> None:
        """Ends the stream with these."""
        await self._show(frames)
        await self._finish(b"")

    async def fail_with(self, error: ApiError) -> web.StreamResponse:
        """Ends a stream that has had comments only with the error that would have been its answer."""
        self.failed = True
        await self._finish(b"data: " + error.body() + FRAME_END)
        return self.response

    async def fail(self, reason: str, code: str = "replica_failed") -> web.StreamResponse:
        """Ends the stream with an error that clients raise on, instead of taking a cut for an end."""
        self.failed = True
        await self._finish(error_event(reason, code))
        return self.response

    async def _pass_frames(self, frames: bytes, splice: Callable[[bytes], bytes] | None) -> None:
        broken = None
        if self.follower and (BREAKING[0] in frames or BREAKING[1] in frames):
            broken = BROKEN_OFF.search(frames)
        if broken:
            end = frames.rfind(FRAME_END, 0, broken.start())
            frames = frames[: end + len(FRAME_END)] if end >= 0 else b""
        if ERROR_EVENT in frames:
            self.failed = True
            frames = readable_frames(frames)
        if frames:
            await self._show(splice(frames) if splice else frames)
        if broken:
            raise StreamCut("its engine broke off", Failure.ERROR)

    async def _show(self, frames: bytes) -> None:
        self.shown = True
        if self.follower:
            frames = self.follower.emitted.take(frames)
        if shown := self.usage.take_frames(frames):
            self.comments.wrote()
            if self.first_sent is None:
                self.first_sent = time.perf_counter()
            self.sent_bytes += len(shown)
            await self._within_timeout(self.response.write(shown))

    async def _finish(self, last: bytes) -> None:
        self.comments.stop()
        self.sent_bytes += len(last)
        await self._within_timeout(self.response.write_eof(last))

    async def _within_timeout(self, writing: Awaitable[None]) -> None:
        """Ends as for a client that has gone where one does not read: the server cancels the request's handler."""
        try:
            async with asyncio.timeout(self._write_timeout_s):
                await writing
        except TimeoutError:
            logger.warning("a client that did not read its stream for %g s is cut off", self._write_timeout_s)
            if self._transport:
                self._transport.abort()
            await asyncio.sleep(CANCELLED_WITHIN_S)
            raise ConnectionResetError("the client did not read") from None
