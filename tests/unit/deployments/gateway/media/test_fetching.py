"""Media is fetched from public addresses only, each name resolved once, no redirection followed, and within limits."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from ipaddress import ip_network

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.media import fetching as media_fetch
from deployments.gateway.media.fetching import FetchedMedia, MediaFetcher
from deployments.gateway.preparation.bodies.byte_budget import ByteBudget, ByteClaim

LOOPBACK = [ip_network("127.0.0.0/8")]
HOST = "cdn.example.com"


class Resolver(AbstractResolver):
    """Leads every name to the next of its answers, and the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.names: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.names.append(host)
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass


class Origin:
    """A web server on loopback, and the paths that it was requested for."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.port = 0
        self.headers: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        self.headers.append(dict(request.headers))
        match request.path:
            case "/picture":
                return web.Response(body=b"picture", content_type="image/png")
            case "/large":
                return web.Response(body=bytes(20_000))
            case "/odd":
                return web.Response(body=b"odd", headers={"Content-Type": 'image/png,x;y="z'})
            case "/redirect":
                return web.Response(status=302, headers={"Location": f"http://127.0.0.1:{self.port}/picture"})
            case "/compressed":
                return web.Response(body=gzip.compress(bytes(10_000)), headers={"Content-Encoding": "gzip"})
            case "/hangs":
                await asyncio.sleep(60)
        return web.Response(status=404)


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    made = Origin()
    runner = web.ServerRunner(web.Server(made.answer), shutdown_timeout=0.1)  # type: ignore[arg-type]  # it takes web.BaseRequest
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


@asynccontextmanager
async def fetcher(resolver: AbstractResolver, public_loopback: bool = True) -> AsyncIterator[MediaFetcher]:
    made = MediaFetcher(16_000, LOOPBACK if public_loopback else (), resolver)
    try:
        yield made
    finally:
        await made.close()


def claim(limit: int = 2**20) -> ByteClaim:
    return ByteClaim(ByteBudget(limit))


async def refusal(fetching: MediaFetcher, address: str) -> str:
    with pytest.raises(ApiError) as raised:
        await fetching.fetch([address], claim())
    assert (raised.value.status, raised.value.code) == (400, "media_not_fetched")
    assert "127.0.0.1" not in raised.value.message or "127.0.0.1" in address
    return raised.value.message


async def test_media_is_fetched_into_one_file(origin: Origin) -> None:
    resolver, url = Resolver(["127.0.0.1"]), f"http://{HOST}:{origin.port}"
    async with fetcher(resolver) as fetching:
        file, media = await fetching.fetch([f"{url}/picture", f"{url}/odd"], claim())
        with closing(file):
            assert file.read() == b"pictureodd"
    assert media[0] == FetchedMedia("image/png", 0, 7)
    assert media[1].end == 10
    assert '"' not in media[1].media_type
    assert resolver.names == [HOST, HOST]
    assert not {"Cookie", "Authorization", "Referer"} & origin.headers[0].keys()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1"])
async def test_names_that_lead_to_private_addresses_are_not_connected_to(origin: Origin, address: str) -> None:
    async with fetcher(Resolver([address]), public_loopback=False) as fetching:
        assert "no public address" in await refusal(fetching, f"http://{HOST}:{origin.port}/picture")
    assert origin.paths == []


async def test_addresses_in_place_of_names_are_looked_at_too(origin: Origin) -> None:
    resolver = Resolver(["127.0.0.1"])
    async with fetcher(resolver, public_loopback=False) as fetching:
        for host in ("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433"):
            await refusal(fetching, f"http://{host}:{origin.port}/picture")
    assert origin.paths == []


async def test_a_name_that_leads_elsewhere_the_second_time_is_resolved_once(origin: Origin) -> None:
    """DNS rebinding: the address that was looked at is the one that is connected to."""
    resolver = Resolver(["127.0.0.1"], ["10.0.0.1"])
    async with fetcher(resolver) as fetching:
        file, _ = await fetching.fetch([f"http://{HOST}:{origin.port}/picture"], claim())
        file.close()
    assert resolver.names == [HOST]


async def test_of_several_addresses_only_public_ones_are_connected_to(origin: Origin) -> None:
    async with fetcher(Resolver(["10.255.255.1", "127.0.0.1"])) as fetching:
        file, _ = await fetching.fetch([f"http://{HOST}:{origin.port}/picture"], claim())
        file.close()
    assert origin.paths == ["/picture"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/redirect", "redirection"),
        ("/large", "more than"),
        ("/compressed", "compressed it unasked"),
        ("/missing", "status 404"),
    ],
)
async def test_answers_that_are_no_media_are_refused(origin: Origin, path: str, reason: str) -> None:
    async with fetcher(Resolver(["127.0.0.1"])) as fetching:
        assert reason in await refusal(fetching, f"http://{HOST}:{origin.port}{path}")
    assert origin.paths == [path]


async def test_a_server_that_hangs_is_left(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_fetch, "TIMEOUT_S", 0.2)
    async with fetcher(Resolver(["127.0.0.1"])) as fetching:
        assert "did not come within" in await refusal(fetching, f"http://{HOST}:{origin.port}/hangs")


async def test_nothing_listens(origin: Origin) -> None:
    async with fetcher(Resolver(["127.0.0.1"])) as fetching:
        assert "no connection" in await refusal(fetching, f"http://{HOST}:1/picture")


async def test_fetched_bytes_count_as_bytes_in_flight(origin: Origin) -> None:
    async with fetcher(Resolver(["127.0.0.1"])) as fetching:
        with pytest.raises(ApiError) as raised:
            await fetching.fetch([f"http://{HOST}:{origin.port}/picture"], claim(limit=3))
    assert raised.value.status == 503
