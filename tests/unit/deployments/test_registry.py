from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from deployments.autoscaling.control import Door
from deployments.registry import LIFETIME_S, SETTLING_S, Registry

IDLE = {"running": 0, "waiting": 0, "kv_use": 0.0}


def told(incarnation: str) -> dict[str, Any]:
    return {"incarnation": incarnation, "url": f"http://{incarnation}"}


def incarnations(news: dict[str, Any]) -> list[str]:
    return [replica["replica_info"]["incarnation"] for replica in news["replicas"]]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock on by some seconds."""
    offset, real = 0.0, time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + offset)

    def move(seconds: float) -> None:
        nonlocal offset
        offset += seconds

    return move


async def test_a_replica_is_listed_from_its_first_heartbeat_to_its_withdrawal() -> None:
    registry = Registry()
    registry.heartbeat(told("a"), IDLE)
    news = await registry.watch(-1)
    assert news["replicas"] == [{"replica_info": told("a"), "load": IDLE}]
    registry.withdraw("a")
    assert (await registry.watch(news["version"]))["replicas"] == []
    registry.withdraw("a")


async def test_a_watch_wakes_at_a_change_and_only_then() -> None:
    registry = Registry()
    registry.heartbeat(told("a"), IDLE)
    version = (await registry.watch(-1))["version"]
    watching = asyncio.create_task(registry.watch(version, timeout_s=5))
    await asyncio.sleep(0.02)
    registry.heartbeat(told("a"), IDLE)
    await asyncio.sleep(0.02)
    assert not watching.done(), "the same again is no news"
    registry.heartbeat(told("a"), {**IDLE, "running": 1})
    news = await asyncio.wait_for(watching, 1)
    assert news["version"] != version
    assert news["replicas"][0]["load"]["running"] == 1


async def test_every_watch_wakes() -> None:
    registry = Registry()
    version = (await registry.watch(-1))["version"]
    watching = [asyncio.create_task(registry.watch(version, timeout_s=5)) for _ in range(3)]
    await asyncio.sleep(0)
    registry.heartbeat(told("a"), IDLE)
    assert [incarnations(news) for news in await asyncio.wait_for(asyncio.gather(*watching), 1)] == [["a"]] * 3


async def test_a_watch_without_news_ends_with_its_timeout() -> None:
    registry = Registry()
    version = (await registry.watch(-1))["version"]
    assert (await registry.watch(version, timeout_s=0.02))["version"] == version


async def test_a_silent_replica_is_gone(later: Callable[[float], None]) -> None:
    registry = Registry()
    registry.heartbeat(told("a"), IDLE)
    registry.heartbeat(told("b"), IDLE)
    version = (await registry.watch(-1))["version"]
    later(LIFETIME_S - 1)
    registry.heartbeat(told("b"), IDLE)
    assert incarnations(await registry.watch(version, timeout_s=0.01)) == ["a", "b"]
    later(2)
    news = await registry.watch(version, timeout_s=0.01)
    assert incarnations(news) == ["b"]
    assert news["version"] != version
    registry.heartbeat(told("a"), IDLE)
    assert incarnations(await registry.watch(-1)) == ["b", "a"], "it was only slow"


async def test_a_replica_that_falls_silent_during_a_watch_is_told_at_its_end(later: Callable[[float], None]) -> None:
    registry = Registry()
    registry.heartbeat(told("a"), IDLE)
    version = (await registry.watch(-1))["version"]
    watching = asyncio.create_task(registry.watch(version, timeout_s=0.05))
    await asyncio.sleep(0)
    later(LIFETIME_S + 1)
    assert incarnations(await watching) == []


async def test_a_young_registry_says_that_it_may_not_know_all(later: Callable[[float], None]) -> None:
    registry = Registry()
    assert not (await registry.watch(-1))["settled"]
    later(SETTLING_S + 0.1)
    assert (await registry.watch(-1))["settled"]


async def test_a_restarted_registry_repeats_no_version() -> None:
    versions = {(await Registry().watch(-1))["version"] for _ in range(20)}
    assert len(versions) == 20


def test_a_late_heartbeat_does_not_bring_back_a_withdrawn_replica() -> None:
    registry = Registry()
    registry.heartbeat({"incarnation": "a"}, {})
    registry.withdraw("a")
    registry.heartbeat({"incarnation": "a"}, {})
    registry.heartbeat({"incarnation": "b"}, {})
    assert list(registry._entries) == ["b"]


async def test_gateways_are_listed_while_they_watch(later: Callable[[float], None]) -> None:
    registry = Registry()
    registry.gateway("tcp://g:1")
    news = await registry.watch(-1)
    assert news["gateways"] == ["tcp://g:1"]
    registry.gateway("tcp://g:1")
    registry.gateway("tcp://g:2")
    assert (await registry.watch(news["version"]))["gateways"] == ["tcp://g:1", "tcp://g:2"]
    later(LIFETIME_S / 2)
    registry.gateway("tcp://g:2")
    later(LIFETIME_S / 2 + 1)
    assert (await registry.watch(-1))["gateways"] == ["tcp://g:2"]


def test_what_gateways_tell_is_forgotten_with_them(later: Callable[[float], None]) -> None:
    registry = Registry()
    registry.tell_doors("one", [Door(model="m", waiting=2, booked_s={"a": 1.0})])
    later(LIFETIME_S / 2)
    registry.tell_doors("two", [Door(model="m", waiting=3, booked_s={})])
    assert registry.watchers() == {"one", "two"}
    assert [door["waiting"] for door in registry.doors()] == [2, 3]
    later(LIFETIME_S / 2 + 1)
    assert registry.watchers() == {"two"}
    assert [door["waiting"] for door in registry.doors()] == [3]
