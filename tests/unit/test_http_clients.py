"""Every HTTP client of the project, with a proxy in the environment that keeps what it gets and refuses it."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cluster.checkpoints.download import download
from cluster.checkpoints.errors import SourceUnavailable
from cluster.checkpoints.pinned import PinnedFile
from cluster.checkpoints.progress import Silent
from cluster.fleet import Gateway
from cluster.http_proxies import ProxyError
from deployments import gateway_endpoint
from deployments.engine.access.client import engine_session
from deployments.gateway.proxy.recovery.failures import ReplicaFailed
from deployments.gateway.proxy.time_limits import AnswerTimer, Seconds
from deployments.gateway.proxy.upstream.exchange import UpstreamClient
from deployments.http_sessions import endpoint_session
from loadtest.batch.served import look_up
from loadtest.benchmarks.gpt_oss import GptOss
from loadtest.client import Call, Outcome, ask
from loadtest.endpoint import TargetError, bearer, get_json
from loadtest.online.asking import ask_stream
from loadtest.replay import client as replay
from loadtest.replay.tokenizer import ask_vocabulary
from tests.support.engine_keys import engine_keys
from tests.support.pages import serving_pages
from tests.support.recording_proxy import RecordingProxy, recording_proxy
from tests.unit.test_structure import ROOT, modules

KEY = bearer("the-key-of-a-tenant")
OUTSIDE = "outside.example.com"
TIMEOUT = aiohttp.ClientTimeout(total=5)

MAKERS = {
    *("ClientSession", "urlopen", "build_opener", "urlretrieve", "HTTPConnection", "HTTPSConnection", "PoolManager"),
    *("OpenAI", "AsyncOpenAI", "DefaultHttpxClient", "DefaultAsyncHttpxClient"),
}
LIBRARIES = {"requests", "httpx", "urllib3"}
MADE_IN = {
    "cluster/http_proxies.py",
    "deployments/http_sessions.py",
    "loadtest/demo.py",  # the SDK, as a user has it, of a fleet on this machine
}


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingProxy]:
    with recording_proxy() as made:
        made.set_in(monkeypatch)
        yield made


async def batch(url: str) -> None:
    await asyncio.to_thread(look_up, url, KEY)


async def inspection(url: str) -> None:
    await asyncio.to_thread(get_json, f"{url}/fleet", KEY)


async def tokenizer(url: str) -> None:
    await asyncio.to_thread(ask_vocabulary, url, "m", KEY)


async def offline(url: str) -> Outcome:
    call = Call(f"{url}/v1/completions", KEY, 5, 1)
    async with endpoint_session(call.url, call.headers) as session:
        return await ask(session, call, GptOss(), 0, 0, b"{}")


async def online(url: str) -> Outcome:
    call = Call(f"{url}/v1/completions", KEY, 5, 1)
    async with endpoint_session(call.url, call.headers) as session:
        return await ask_stream(session, call, GptOss(), Outcome(0, 0, 0, 0, 0), b"{}", lambda _: None)


async def replays(url: str) -> replay.Reply:
    async with endpoint_session(url, KEY) as session:
        return await replay.ask(session, replay.Sending(f"{url}/v1/completions", KEY, b"{}", 5))


async def replica(url: str) -> None:
    async with engine_session(engine_keys(), TIMEOUT) as session, session.get(f"{url}/health"):
        pass


async def gateway(url: str) -> None:
    client = UpstreamClient(Gateway(), engine_keys().headers, None)
    try:
        timer = AnswerTimer(Seconds(5, 5, 5))
        (await client.post(url, "/v1/completions", {}, b"{}", 2, timer)).close()
        await client.health.check(url)
        await client.detokenize(url, "m", [1])
    finally:
        await client.close()


async def ready_line(url: str) -> None:
    assert await asyncio.to_thread(gateway_endpoint.gets_ready, url)


async def checkpoint(url: str) -> None:
    file = PinnedFile("file", 1, "0" * 64)
    await asyncio.to_thread(download, f"{url}/file", file, Path("file"), Silent())


CLIENTS: dict[Callable[[str], Awaitable[Any]], set[str]] = {
    batch: {"/v1/models"},
    inspection: {"/fleet"},
    tokenizer: {"/tokenize"},
    offline: {"/v1/completions"},
    online: {"/v1/completions"},
    replays: {"/v1/completions"},
    replica: {"/health"},
    gateway: {"/v1/completions", "/health", "/detokenize"},
    ready_line: {"/ready"},
    checkpoint: {"/file"},
}


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
async def test_a_client_shows_loopback_addresses_to_no_proxy(
    client: Callable[[str], Awaitable[Any]], proxy: RecordingProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[tuple[str, str | None, bytes]] = []
    with serving_pages(asked) as start:
        url = start({"/health": {}, "/ready": {}, "/v1/models": {"data": []}})
        with suppress(ReplicaFailed, SourceUnavailable):  # this server has no answers
            await client(url)
    assert {path for path, _, _ in asked} >= CLIENTS[client]
    assert proxy.received == []


@pytest.mark.parametrize("client", [offline, online, replays], ids=lambda client: client.__name__)
async def test_a_client_of_an_outside_endpoint_shows_its_key_to_no_proxy_and_names_a_proxy_that_refuses(
    client: Callable[[str], Awaitable[Any]], proxy: RecordingProxy
) -> None:
    with pytest.raises(ProxyError, match="would see the key"):
        await client(f"http://{OUTSIDE}")
    assert proxy.received == []
    outcome = await client(f"https://{OUTSIDE}")
    assert "the proxy refuses: 403 Forbidden" in getattr(outcome, "detail", "") + getattr(outcome, "error", "")
    assert [head.partition(b" HTTP")[0] for head in proxy.received] == [f"CONNECT {OUTSIDE}:443".encode()]
    assert b"the-key" not in b"".join(proxy.received)


@pytest.mark.parametrize("client", [offline, online, replays], ids=lambda client: client.__name__)
async def test_a_proxy_where_nothing_listens_is_named(
    client: Callable[[str], Awaitable[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    RecordingProxy("http://127.0.0.1:1").set_in(monkeypatch)
    outcome = await client(f"https://{OUTSIDE}")
    assert "the proxy 127.0.0.1:1 does not connect" in getattr(outcome, "detail", "") + getattr(outcome, "error", "")


@pytest.mark.parametrize("client", [batch, inspection, tokenizer], ids=lambda client: client.__name__)
async def test_the_first_look_at_an_outside_endpoint_names_a_proxy_that_refuses(
    client: Callable[[str], Awaitable[Any]], proxy: RecordingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TargetError, match=f"the proxy {proxy.url} does not connect: .*403 Forbidden"):
        await client(f"https://{OUTSIDE}")
    RecordingProxy("http://127.0.0.1:1").set_in(monkeypatch)
    with pytest.raises(TargetError, match=r"the proxy http://127\.0\.0\.1:1 does not connect: .*refused"):
        await client(f"https://{OUTSIDE}")
    assert b"the-key" not in b"".join(proxy.received)


def test_an_answer_that_came_by_a_proxy_says_so(proxy: RecordingProxy) -> None:
    with pytest.raises(TargetError, match=f"answers 403 Forbidden by the proxy {proxy.url}"):
        get_json(f"http://{OUTSIDE}/fleet")


def test_no_client_is_made_around_the_one_place_that_decides() -> None:
    made = {str(file.relative_to(ROOT)) for file in [*modules(), *modules("scripts")] if makes_a_client(file)}
    assert made == MADE_IN


def makes_a_client(file: Path) -> bool:
    """Whether a module calls what opens HTTP connections, or imports a library for nothing else."""
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name in MAKERS:
                return True
            case ast.Import(names=names) if any(alias.name.split(".")[0] in LIBRARIES for alias in names):
                return True
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in LIBRARIES:
                return True
    return False
