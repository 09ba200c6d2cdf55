"""Following reporters that come, change their address and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from cluster.fleet_secrets import FleetSecrets
from deployments.encrypted_sockets import SocketKeys
from deployments.engine.cache_reporter.cache_log import CacheLog
from deployments.engine.cache_reporter.publisher import Publisher
from deployments.gateway.replicas.kv_event_followers import Feeds
from deployments.kv_cache.events import Stored
from deployments.kv_cache.keying import prefix_keys
from deployments.kv_cache.replay_protocol import FeedState
from deployments.kv_cache.report_subscriber import PURPOSE
from deployments.routing import Router
from deployments.routing.keys import KEY_TOKENS
from deployments.routing.prompt import Prompt
from deployments.routing.seeds import seed_of
from tests.support.front import until
from tests.support.processes import fake_pool, replica_info

SECRETS = FleetSecrets((b"a-secret-of-this-fleet",))
URL = "http://127.0.0.1:1"
TOKENS = [5] * 4 * KEY_TOKENS


@asynccontextmanager
async def reporter(*prompts: list[int]) -> AsyncIterator[dict[str, Any]]:
    """What a replica announces of a reporter whose engine holds these prompts."""
    log = CacheLog(prefix_keys(SECRETS), "m")
    log.state(FeedState.EXACT)
    for tokens in prompts:
        log.apply([Stored([(*tokens[:1], n) for n in range(len(tokens) // KEY_TOKENS)], None, tokens, KEY_TOKENS)])
    publisher = Publisher(log, SocketKeys.of(SECRETS, PURPOSE), "127.0.0.1")
    running = asyncio.create_task(publisher.run())
    try:
        yield {"cache_reports": publisher.addresses.reports, "cache_snapshots": publisher.addresses.snapshots}
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        publisher.close()


def router() -> Router:
    made = Router("m", prefix_keys=prefix_keys(SECRETS))
    made.add("r", URL, "p", 8, seed_of(None))
    return made


async def test_a_prompt_is_found_by_what_the_reporter_says() -> None:
    known, feeds = router(), Feeds(SECRETS)
    async with reporter(TOKENS) as addresses:
        feeds.follow(known, [replica_info(URL, fake_pool(), **addresses)])
        await until(lambda: feeds.state(URL) is FeedState.EXACT)
        keys = known.index.prompt_keys(Prompt([*TOKENS, *TOKENS]))
        assert known.index.matches(keys) == [(1, 4)]
        await feeds.close()


async def test_another_reporter_of_the_same_engine_takes_the_first_ones_place() -> None:
    known, feeds = router(), Feeds(SECRETS)
    announced = replica_info(URL, fake_pool())
    async with reporter(TOKENS) as first, reporter(TOKENS[: 2 * KEY_TOKENS]) as second:
        feeds.follow(known, [replace(announced, **first)])
        await until(lambda: known.index.keys == 4)
        feeds.follow(known, [announced])
        assert (known.index.keys, feeds.state(URL)) == (0, None), "between the two nobody vouches for anything"
        feeds.follow(known, [replace(announced, **second)])
        await until(lambda: known.index.keys == 2 and feeds.state(URL) is FeedState.EXACT)
        await feeds.close()


async def test_without_secrets_nothing_is_followed() -> None:
    known, feeds = router(), Feeds()
    async with reporter(TOKENS) as addresses:
        feeds.follow(known, [replica_info(URL, fake_pool(), **addresses)])
        assert feeds.state(URL) is None


async def test_nothing_runs_on_after_the_end() -> None:
    before = asyncio.all_tasks()
    known, feeds = router(), Feeds(SECRETS)
    addresses = {"cache_reports": "tcp://127.0.0.1:9", "cache_snapshots": "tcp://127.0.0.1:9"}
    feeds.follow(known, [replica_info(URL, fake_pool(), **addresses)])
    await asyncio.sleep(0)
    await feeds.close()
    assert asyncio.all_tasks() == before
