"""The gateway's HTTP client of replicas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import aiohttp
import msgspec

from cluster.fleet import EngineTls, Gateway
from deployments.engine.access.tls import client_context
from deployments.gateway.proxy.failures import ReplicaFailed, StreamCut

DETOKENIZE_TIMEOUT_S = 10
KEEPALIVE_S = 4
"""Shorter than the 5 s after which vLLM's server closes an idle connection, lest a request meet the closing."""


@dataclass
class UpstreamAnswer:
    """A replica's answer with its first bytes read: all of it where it is one object, the first piece of a stream."""

    response: aiohttp.ClientResponse
    head: bytes = b""

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def streams(self) -> bool:
        return self.response.content_type == "text/event-stream"

    async def next(self) -> bytes:
        """The next piece; nothing at the end. Raises StreamCut where that comes too early."""
        try:
            return await self.response.content.readany()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise StreamCut(type(error).__name__) from error

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
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S, ssl=client_context(engine_tls)),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=settings.connect_timeout_s, sock_read=settings.read_timeout_s
            ),
            auto_decompress=False,
            skip_auto_headers=["Accept-Encoding"],  # the answer's bytes are passed on as they are
            read_bufsize=2**18,
        )

    async def close(self) -> None:
        await self._session.close()

    async def post(self, url: str, body: bytes | AsyncIterator[bytes], headers: Mapping[str, str]) -> UpstreamAnswer:
        """Sends a request and reads the first bytes of the answer. Raises ReplicaFailed where there are none."""
        try:
            response = await self._session.post(
                url, data=body, headers={**headers, **self._engine_headers()}, allow_redirects=False
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ReplicaFailed(str(error), reached=False) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ReplicaFailed(str(error)) from error
        answer = UpstreamAnswer(response)
        try:
            # Whole where it is one object, so that a cut can still be retried; the first piece where it streams.
            answer.head = await (response.content.readany() if answer.streams else response.read())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            response.close()
            raise ReplicaFailed(str(error)) from error
        except asyncio.CancelledError:
            response.close()
            raise
        if answer.streams and not answer.head:
            response.close()
            raise ReplicaFailed("the stream ended before its first byte")
        return answer

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
                    raise ReplicaFailed(f"it answered {answer.status} to /detokenize", suspect=False)
                return str(msgspec.json.decode(await answer.read())["prompt"])
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ReplicaFailed(str(error), reached=False) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ReplicaFailed(str(error)) from error
