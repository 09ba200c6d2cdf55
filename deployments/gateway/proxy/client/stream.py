"""A stream as its client sees it: frames are passed on as they come, from one replica or from several in turn."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from aiohttp import web

from deployments.gateway.errors.error_object import ApiError, error_event, readable_frames
from deployments.gateway.proxy.answer_room import AnswerRoom
from deployments.gateway.proxy.client.comments import StreamComments
from deployments.gateway.proxy.client.writer import ClientWriter
from deployments.gateway.proxy.recovery.failures import StreamCut
from deployments.gateway.proxy.recovery.outlier_ejection import Failure
from deployments.gateway.proxy.upstream.exchange import UpstreamAnswer
from deployments.gateway.proxy.usage import FRAME_END, AnswerUsage
from deployments.gateway.resume import Follower
from deployments.gateway.resume.emitted import DONE

END = DONE + FRAME_END
CRLF, LF = b"\r\n", b"\n"
ERROR_EVENT = b'data: {"error"'
BREAKING = b'"error"', b'"abort"'
BROKEN_OFF = re.compile(rb'^data: \{"error"|"finish_reason":"(?:abort|error)"', re.MULTILINE)
"""How an engine says that it ends an answer before its time. Within a text of the model's the quotes are escaped."""

Splice = Callable[[bytes], bytes]


class ClientStream:
    """The answer to one streaming request. `follower` is None where no other replica could continue it."""

    def __init__(
        self,
        writer: ClientWriter,
        usage: AnswerUsage,
        follower: Follower | None,
        room: AnswerRoom,
        comment_after_s: float = 15.0,
    ) -> None:
        """`room`: for an event that has begun and not ended."""
        self.response, self.usage, self.follower = writer.response, usage, follower
        self._writer = writer
        self.comments = StreamComments(writer.write, comment_after_s)
        self.first_shown: float | None = None
        """When the client was sent its first frame, by time.perf_counter()."""
        self.failed = False
        """Whether it ended with an error."""
        self.ended = False
        """Whether its last byte was written."""
        self._room = room
        self._rest = bytearray()
        """Of an event that has not ended yet."""
        self._splice: Splice | None = None
        self._has_ended = False

    @property
    def shown(self) -> bool:
        """Whether the client has seen any frame."""
        return self.first_shown is not None

    @property
    def sent_bytes(self) -> int:
        """Bytes of the answer's body that were written, comments among them."""
        return self._writer.sent_bytes

    async def pass_on(self, answer: UpstreamAnswer, splice: Splice | None = None) -> None:
        """Passes an answer on to its end, each part of it through `splice`. Raises StreamCut.

        Only whole frames, so that what follows a cut begins with a frame of its own.
        """
        self._rest, self._splice, self._has_ended = bytearray(), splice, False
        if not self._pass_piece(answer.head):
            await self._writer.drain()
        try:
            await answer.pour(self._pass_piece, self._writer.drain)
        except StreamCut:
            if not self._has_ended:
                raise  # what breaks after the stream's own end has lost nothing
        if self.follower and not self.follower.emitted.done:
            raise StreamCut("it ended without its end")
        await self._finish(bytes(self._rest))

    async def end(self, frames: bytes) -> None:
        """Ends the stream with these."""
        self._show(frames)
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

    def _pass_piece(self, piece: bytes) -> bool:
        """Passes what is whole of it, and keeps the rest. Returns whether the client keeps up. Raises StreamCut."""
        if self._rest or not piece.endswith(FRAME_END):
            piece = self._whole_frames(piece)
            if not piece:
                return True
        self._has_ended = not self._rest and piece.endswith(END)
        return self._pass_frames(piece)

    def _whole_frames(self, piece: bytes) -> bytes:
        """What is whole of the rest and this piece; what is not becomes the rest. Lines may end as HTTP's do."""
        rest = self._rest
        looked_at = max(0, len(rest) - len(FRAME_END))
        rest += piece
        if CRLF in rest[looked_at:]:
            rest[looked_at:] = rest[looked_at:].replace(CRLF, LF)
        end = rest.rfind(FRAME_END, looked_at) + len(FRAME_END)
        if end < len(FRAME_END):
            self._room.take(len(piece))
            return b""
        frames = bytes(rest[:end])
        del rest[:end]
        self._room.give_back()
        self._room.take(len(rest))
        return frames

    def _pass_frames(self, frames: bytes) -> bool:
        broken = None
        if self.follower and (BREAKING[0] in frames or BREAKING[1] in frames):
            broken = BROKEN_OFF.search(frames)
        if broken:
            end = frames.rfind(FRAME_END, 0, broken.start())
            frames = frames[: end + len(FRAME_END)] if end >= 0 else b""
        if ERROR_EVENT in frames:
            self.failed = True
            frames = readable_frames(frames)
        keeps_up = True
        if frames:
            keeps_up = self._show(self._splice(frames) if self._splice else frames)
        if broken:
            raise StreamCut("its engine broke off", Failure.ERROR)
        return keeps_up

    def _show(self, frames: bytes) -> bool:
        if self.first_shown is None:
            self.first_shown = time.perf_counter()
        if self.follower:
            frames = self.follower.emitted.take(frames)
        shown = self.usage.take_frames(frames)
        if not shown:
            return True
        self.comments.wrote()
        return self._writer.write(shown)

    async def _finish(self, last: bytes) -> None:
        self.comments.stop()
        await self._writer.end(last)
        self.ended = True
