"""Fetches the media that requests name by address. A name is resolved once, and connected to where it is public."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence
from ipaddress import ip_address

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from deployments.gateway.errors.error_object import ApiError, shortened
from deployments.gateway.media.public_addresses import Network, is_public
from deployments.gateway.preparation.bodies.body import BodyFile, write_all
from deployments.gateway.preparation.bodies.byte_budget import ByteClaim
from deployments.http_sessions import direct_session

TIMEOUT_S = 10.0
"""For all media of one request."""

MOST_AT_ONCE = 16
"""Fetches of one gateway process; others wait."""

BASE64_GROWTH = 4 / 3
MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,60}")
UNKNOWN_TYPE = "application/octet-stream"
HEADERS = {"User-Agent": "mixfleet", "Accept": "*/*", "Accept-Encoding": "identity"}


class NotPublic(OSError):
    """A name that leads to no address that may be connected to."""


class FetchedMedia(msgspec.Struct, frozen=True):
    """Attributes:
    media_type: as its server says.
    start, end: of its bytes within the file of all media of a request.
    """

    media_type: str
    start: int
    end: int


class PublicResolver(AbstractResolver):
    """Leaves out what is not public. The connector connects to nothing else, so that no name can change in between."""

    def __init__(self, inner: AbstractResolver, networks: Sequence[Network]) -> None:
        self._inner, self._networks = inner, networks

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        public = [one for one in found if is_public(one["host"], self._networks)]
        if not public:
            raise NotPublic("its name leads to no public address")
        return public

    async def close(self) -> None:
        await self._inner.close()


class MediaFetcher:
    """Fetches for one gateway process. One event loop owns it.

    `networks` may be fetched from although they are not public. `most_bytes`: of all media of one request, in base64.
    """

    def __init__(
        self, most_bytes: int, networks: Sequence[Network] = (), resolver: AbstractResolver | None = None
    ) -> None:
        self._most_bytes, self._networks, self._resolver = int(most_bytes / BASE64_GROWTH), networks, resolver
        self._session: aiohttp.ClientSession | None = None
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def fetch(self, addresses: Sequence[str], claim: ByteClaim) -> tuple[BodyFile, list[FetchedMedia]]:
        """All media in one file, which the caller closes, in the order of `addresses`. Raises ApiError 400 or 503."""
        file = BodyFile("media")
        try:
            async with self._turns, asyncio.timeout(TIMEOUT_S):
                return file, [await self._fetch(URL(address), file, claim) for address in addresses]
        except TimeoutError:
            file.close()
            raise _not_fetched("the media", f"it did not come within {TIMEOUT_S:g} s") from None
        except BaseException:
            file.close()
            raise

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def _fetch(self, url: URL, file: BodyFile, claim: ByteClaim) -> FetchedMedia:
        where = f"the media at '{shortened(url.host or '')}'"
        self._check_literal(url, where)
        start = end = file.size
        try:
            async with self._opened().get(url, allow_redirects=False, headers=HEADERS) as answer:
                _check_answer(answer, where)
                async for piece in answer.content.iter_any():
                    end += len(piece)
                    if end > self._most_bytes:
                        raise _not_fetched(where, f"it has more than {self._most_bytes / 2**20:.3g} MiB")
                    claim.reserve(len(piece))
                    write_all(file.fd, piece)
                return FetchedMedia(_media_type(answer), start, end)
        except aiohttp.ClientConnectorError as error:
            reason = str(error.os_error) if isinstance(error.os_error, NotPublic) else "no connection could be made"
            raise _not_fetched(where, reason) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _not_fetched(where, f"its server's answer could not be read ({type(error).__name__})") from error

    def _check_literal(self, url: URL, where: str) -> None:
        """An address that is no name is not resolved."""
        host = url.host or ""
        try:
            ip_address(host.partition("%")[0])
        except ValueError:
            return
        if not is_public(host, self._networks):
            raise _not_fetched(where, "its address is not public")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            resolver = PublicResolver(self._resolver or aiohttp.ThreadedResolver(), self._networks)
            self._session = direct_session(
                connector=aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


def _check_answer(answer: aiohttp.ClientResponse, where: str) -> None:
    if 300 <= answer.status < 400:
        raise _not_fetched(where, "it is a redirection, and none is followed")
    if answer.status != 200:
        raise _not_fetched(where, f"its server answered with status {answer.status}")
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _not_fetched(where, "its server compressed it unasked")


def _media_type(answer: aiohttp.ClientResponse) -> str:
    sent = answer.content_type.lower()
    return sent if MEDIA_TYPE.fullmatch(sent) else UNKNOWN_TYPE


def _not_fetched(what: str, reason: str) -> ApiError:
    return ApiError(
        400,
        f"{what} could not be fetched: {reason}; send it inline as a data: address",
        param="messages",
        code="media_not_fetched",
    )
