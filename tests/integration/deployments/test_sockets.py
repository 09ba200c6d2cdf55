"""Every socket that a fleet listens on, and what someone without a key gets from it.

A socket that `SOCKETS` does not name fails the test: whoever opens one says there what a stranger may get.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from cluster.fleet import Fleet, Operator, Tenant
from cluster.keys import digest, new_key
from deployments.engine.supervisor import Seat, Supervisor
from deployments.gateway.api.openapi.page import PAGE
from deployments.registry.messages import RegistryAddress
from deployments.replica_info import ReplicaInfo
from tests.support.engine_keys import FLEET
from tests.support.process_table import descendants
from tests.support.processes import HOST, fake_fleet, fake_pool, fake_spec, gateway, unreported, unwithdrawn
from tests.support.registries import registry_process
from tests.support.sockets import ZmqStranger, http_answer, listening

KEY = new_key()
POOL = fake_pool(decode_step_s=0.001)

NOTHING_S = 2.0
"""How long a stranger listens for what should not come."""


@dataclass(frozen=True)
class Expected:
    """What a stranger gets from a socket. `opens`: paths that answer without a key."""

    speaks: str
    opens: frozenset[str] = frozenset()


SOCKETS = {
    "engine": Expected("http"),
    "gateway": Expected("http", opens=frozenset({"/health", "/-/healthz", "/ready", "/docs"})),
    "cache_reports": Expected("zmq"),
    "cache_snapshots": Expected("zmq"),
    "registry_reports": Expected("zmq"),
    "registry_news": Expected("zmq"),
}

PATHS = (
    *("/", "/health", "/-/healthz", "/ready", "/metrics", "/v1/models", "/fleet", "/debug/routing", "/version"),
    *("/kv_event_sources", "/docs", "/openapi.json", "/stats", "/load", "/v1/chat/completions", "/v1/completions"),
    *("/tokenize", "/detokenize", "/fault", "/reset_prefix_cache", "/nothing"),
)


@dataclass(frozen=True)
class SmallFleet:
    """One engine under its supervisor, a registry, and a gateway that knows one tenant."""

    address: str
    replica_info: ReplicaInfo
    registry: RegistryAddress
    others: set[int]
    """Processes of other tests."""

    def ports(self) -> dict[int, str]:
        """Port -> name in `SOCKETS`."""
        told = self.replica_info
        urls = {"engine": told.url, "gateway": self.address}
        urls |= {"cache_reports": str(told.cache_reports), "cache_snapshots": str(told.cache_snapshots)}
        urls |= {"registry_reports": self.registry.reports, "registry_news": self.registry.news}
        return {urlsplit(str(url)).port or 0: name for name, url in urls.items()}

    async def work(self) -> None:
        """Makes the engine compute a prompt, and so publish."""
        body = {"model": "m", "prompt": "a prompt that no other tenant may see " * 20, "max_tokens": 2}
        headers = {"Authorization": f"Bearer {KEY}"}
        timeout = aiohttp.ClientTimeout(total=20)
        async with (
            aiohttp.ClientSession(self.address, timeout=timeout) as session,
            session.post("/v1/completions", json=body, headers=headers) as answer,
        ):
            assert answer.status == 200, await answer.text()


def fleet() -> Fleet:
    tenant = Tenant(name="t", key_sha256=[digest(KEY)])
    operator = Operator(name="o", key_sha256=[digest(new_key())])
    return fake_fleet(POOL).model_copy(update={"tenants": [tenant], "operators": [operator]})


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[SmallFleet]:

    seat = Seat("m@a#1", "m", "a", "cpu", None, drain_timeout_s=1, readiness_timeout_s=60, fleet=FLEET)
    others = descendants()
    supervisor = Supervisor(fake_spec(POOL), seat, tmp_path / "log", HOST, unreported, unwithdrawn)
    await supervisor.start()
    try:
        assert supervisor.replica_info is not None
        with ExitStack() as stack:
            running = gateway(fleet(), [supervisor.replica_info])
            address, _ = await asyncio.to_thread(stack.enter_context, running)
            registry = registry_process(supervisor.replica_info)
            _, listens = await asyncio.to_thread(stack.enter_context, registry)
            yield SmallFleet(address, supervisor.replica_info, listens, others)
    finally:
        await supervisor.stop()


def is_harmless(body: bytes) -> bool:
    """Whether an answer without a key holds nothing of the fleet: `/docs` is one page for all of them."""
    return body in (b"", b'{"waiting_for": []}') or body == PAGE


async def test_every_socket_that_a_fleet_listens_on_is_listed_and_on_loopback(small: SmallFleet) -> None:
    found = listening(descendants() - small.others)
    names = small.ports()
    assert {one.command() for one in found if one.port not in names} == set(), "list it in SOCKETS"
    assert {names[one.port] for one in found} == SOCKETS.keys(), "a socket that is listed is not there"
    assert {one.host for one in found} == {HOST}


async def test_a_stranger_gets_no_http_answer_but_401(small: SmallFleet) -> None:
    for port, name in small.ports().items():
        if SOCKETS[name].speaks != "http":
            continue
        for path in PATHS:
            for method in ("GET", "POST", "OPTIONS"):
                answer = await asyncio.to_thread(http_answer, HOST, port, method, path)
                where = f"{name}: {method} {path}"
                if path in SOCKETS[name].opens:
                    assert is_harmless(answer.partition(b"\r\n\r\n")[2]) or b" 40" in answer, where
                    continue
                status, body = answer.split(b" ", 2)[1], answer.partition(b"\r\n\r\n")[2]
                unknown = (b"401",) if name == "engine" else (b"401", b"404", b"405")
                assert status in unknown, where
                assert "message" in json.loads(body)["error"], where


async def test_a_zeromq_socket_gives_an_http_client_nothing(small: SmallFleet) -> None:
    for port, name in small.ports().items():
        if SOCKETS[name].speaks == "zmq":
            answer = await asyncio.to_thread(http_answer, HOST, port, "GET", "/", 0.5)
            assert b"HTTP" not in answer
            assert len(answer) <= 64, "its greeting and no more"


async def test_a_stranger_subscribes_to_nothing_and_is_sent_nothing(small: SmallFleet) -> None:
    announced = small.replica_info
    strangers = [
        ZmqStranger(bare(announced.cache_reports), bare(announced.cache_snapshots)),
        ZmqStranger(bare(small.registry.news), bare(small.registry.reports)),
    ]
    try:
        for _ in range(3):  # a subscription takes a moment to reach the publisher
            await small.work()
            events = await asyncio.gather(*(asyncio.to_thread(one.events, NOTHING_S) for one in strangers))
            assert not any(events)
        replayed = await asyncio.gather(*(asyncio.to_thread(one.replay, NOTHING_S) for one in strangers))
        assert not any(replayed)
    finally:
        for one in strangers:
            one.close()


def bare(address: str | None) -> str:
    """Without the server's public key."""
    return str(address).partition("#")[0]
