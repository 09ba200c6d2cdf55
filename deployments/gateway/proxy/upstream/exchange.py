"""What attempts ask of replicas, and the answers they get, within their limits of time."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import msgspec

from cluster.fleet import EngineTls, Gateway
from deployments.engine.access.client import EngineHeaders
from deployments.engine.access.tls import client_context
from deployments.gateway.errors.error_object import UNREADABLE
from deployments.gateway.proxy.answer_room import AnswerRoom
from deployments.gateway.proxy.recovery.engine_health import EngineHealth
from deployments.gateway.proxy.recovery.failures import ReplicaFailed, StreamCut
from deployments.gateway.proxy.recovery.outlier_ejection import Failure
from deployments.gateway.proxy.time_limits import AnswerTimer
from deployments.gateway.proxy.upstream.connection import UpstreamLost
from deployments.gateway.proxy.upstream.http_client import HttpAnswer, HttpClient, Unreachable

DETOKENIZE_TIMEOUT_S = 10
MOST_TEXT_BYTES = 2**20
"""Of an answer to `/detokenize`, for a few tokens."""

EVENT_STREAM = "text/event-stream"


class UpstreamAnswer:
    """A replica's answer. `head`: all of it where it is one object, the first piece of a stream, once that is read."""

    def __init__(self, answer: HttpAnswer, timer: AnswerTimer) -> None:
        self._answer, self._timer = answer, timer
        self.status, self.content_type = answer.status, answer.content_type
        self.streams = self.content_type.startswith(EVENT_STREAM)
        self.head = b""

    async def whole(self, room: AnswerRoom) -> bytes:
        """All of it. Raises ReplicaFailed where it is cut, ApiError where there is no room for it."""
        pieces = []
        while piece := await self.first():
            room.take(len(piece))
            pieces.append(piece)
            self._timer.wait()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def first(self) -> bytes:
        """The next piece, while another replica may still answer instead. Raises ReplicaFailed."""
        try:
            piece = await self._answer.read()
        except UpstreamLost as error:
            raise ReplicaFailed(str(error), Failure.LOST) from error
        self._timer.received()
        return piece

    async def pour(self, take: Callable[[bytes], bool], drain: Callable[[], Awaitable[None]]) -> None:
        """Gives the rest of a stream to `take` as it comes; whenever that returns False nothing more is read until
        `drain` returns. Raises StreamCut where the stream breaks off, and what these two raise."""
        timer = self._timer

        def taken(piece: bytes) -> bool:
            timer.passed()
            return take(piece)

        async def drained() -> None:
            timer.received()  # time in which the client does not read is not the engine's
            await drain()
            timer.wait()

        timer.wait()
        try:
            await self._answer.pour(taken, drained)
        except UpstreamLost as error:
            raise StreamCut(str(error)) from error
        timer.received()

    def close(self) -> None:
        """Gives the connection back, or closes it where the replica would send more: that ends the request's work."""
        self._answer.close()


class UpstreamClient:
    """Requests to all replicas. Belongs to one event loop."""

    def __init__(self, settings: Gateway, engine_headers: EngineHeaders, engine_tls: EngineTls | None) -> None:
        """Raises TlsError."""
        self._engine_headers = engine_headers
        context = client_context(engine_tls)
        self._client = HttpClient(settings.connect_timeout_s, context if isinstance(context, ssl.SSLContext) else None)
        self.health = EngineHealth(self._client, engine_headers)

    async def close(self) -> None:
        await self.health.close()
        self._client.close()

    async def post(
        self,
        url: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | AsyncIterator[bytes],
        length: int,
        timer: AnswerTimer,
    ) -> UpstreamAnswer:
        """Sends a request. Raises ReplicaFailed where no answer begins."""
        try:
            answer = await self._client.send("POST", url, path, {**headers, **self._engine_headers(url)}, body, length)
        except Unreachable as error:
            raise ReplicaFailed(str(error), Failure.UNREACHABLE) from error
        except UpstreamLost as error:
            raise ReplicaFailed(str(error), Failure.LOST) from error
        return UpstreamAnswer(answer, timer)

    async def detokenize(self, url: str, model: str, token_ids: Sequence[int]) -> str:
        """The text of these ids, by the engine's own tokenizer. Raises ReplicaFailed."""
        body = msgspec.json.encode({"model": model, "tokens": token_ids})
        headers = {"Content-Type": "application/json", **self._engine_headers(url)}
        try:
            async with asyncio.timeout(DETOKENIZE_TIMEOUT_S):
                answer = await self._client.send("POST", url, "/detokenize", headers, body)
                try:
                    if answer.status != 200:
                        raise ReplicaFailed(f"it answered {answer.status} to /detokenize", Failure.ERROR)
                    return str(msgspec.json.decode(await answer.whole(MOST_TEXT_BYTES))["prompt"])
                except (*UNREADABLE, KeyError, TypeError) as error:
                    raise ReplicaFailed("its answer to /detokenize has no text", Failure.ERROR) from error
                finally:
                    answer.close()
        except Unreachable as error:
            raise ReplicaFailed(str(error), Failure.UNREACHABLE) from error
        except (UpstreamLost, TimeoutError) as error:
            raise ReplicaFailed(str(error) or "no text in time", Failure.LOST) from error
