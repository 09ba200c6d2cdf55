"""The gateway's HTTP client of replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import aiohttp
import msgspec

from cluster.fleet import EngineTls, Gateway
from deployments.engine.access.tls import client_context
from deployments.gateway.proxy.engine_health import EngineHealth
from deployments.gateway.proxy.failures import ReplicaFailed, StreamCut
from deployments.gateway.proxy.outlier_ejection import Failure
from deployments.gateway.proxy.time_limits import AnswerTimer
from deployments.http_sessions import direct_session

DETOKENIZE_TIMEOUT_S = 10
KEEPALIVE_S = 4
"""Shorter than the 5 s after which vLLM's server closes an idle connection, lest a request meet the closing."""


@dataclass
class UpstreamAnswer:
    """A replica's answer. `head`: all of it where it is one object, the first piece of a stream, once that is read."""

    response: aiohttp.ClientResponse
    timer: AnswerTimer
    head: bytes = b""

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def streams(self) -> bool:
        return self.response.content_type == "text/event-stream"

    async def whole(self) -> bytes:
        """All of it. Raises ReplicaFailed where it is cut."""
        pieces = []
        while piece := await self.first():
            pieces.append(piece)
            self.timer.wait()
        return b"".join(pieces)

    async def first(self) -> bytes:
        """The next piece, while another replica may still answer instead. Raises ReplicaFailed."""
        try:
            piece = await self.response.content.readany()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ReplicaFailed(str(error), Failure.LOST) from error
        self.timer.received()
        return piece

    async def next(self) -> bytes:
        """The next piece; nothing at the end. Raises StreamCut where that comes too early."""
        self.timer.wait()
        try:
            piece = await self.response.content.readany()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise StreamCut(type(error).__name__) from error
        self.timer.received()
        return piece

    def close(self) -> None:
        """Gives the connection back, or closes it where the replica would send more: it ends the request's work."""
        if self.response.content.at_eof():
            self.response.release()
        else:
            self.response.close()


class UpstreamClient:
    """One pool of connections to all replicas. Belongs to one event loop."""

    def __init__(
        self, settings: Gateway, engine_headers: Callable[[], Mapping[str, str]], engine_tls: EngineTls | None
    ) -> None:
        """`engine_headers`: what engines want to see in every request. Raises TlsError."""
        self._engine_headers = engine_headers
        self._session = direct_session(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S, ssl=client_context(engine_tls)),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout_s),  # see AnswerTimer
            auto_decompress=False,
            skip_auto_headers=["Accept-Encoding"],  # the answer's bytes are passed on as they are
            read_bufsize=2**18,
        )
        self.health = EngineHealth(self._session, engine_headers)

    async def close(self) -> None:
        await self.health.close()
        await self._session.close()

    async def post(
        self, url: str, body: bytes | AsyncIterator[bytes], headers: Mapping[str, str], timer: AnswerTimer
    ) -> UpstreamAnswer:
        """Sends a request. Raises ReplicaFailed where no answer begins."""
        try:
            response = await self._session.post(
                url, data=body, headers={**headers, **self._engine_headers()}, allow_redirects=False
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ReplicaFailed(str(error), Failure.UNREACHABLE) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ReplicaFailed(str(error), Failure.LOST) from error
        return UpstreamAnswer(response, timer)

    async def detokenize(self, url: str, model: str, token_ids: Sequence[int]) -> str:
        """The text of these ids, by the engine's own tokenizer. Raises ReplicaFailed."""
        body = {"model": model, "tokens": token_ids}
        timeout = aiohttp.ClientTimeout(total=DETOKENIZE_TIMEOUT_S)
        try:
            async with self._session.post(
                url + "/detokenize",
                json=body,
                headers=self._engine_headers(),
                timeout=timeout,
                allow_redirects=False,
            ) as answer:
                if answer.status != 200:
                    raise ReplicaFailed(f"it answered {answer.status} to /detokenize", Failure.ERROR)
                return str(msgspec.json.decode(await answer.read())["prompt"])
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ReplicaFailed(str(error), Failure.UNREACHABLE) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ReplicaFailed(str(error), Failure.LOST) from error
