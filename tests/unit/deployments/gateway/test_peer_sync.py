"""Bookings between gateways: over sockets that let in gateways of the fleet alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
import zmq

from cluster.fleet import Limits
from cluster.fleet_secrets import FleetSecrets
from deployments.encrypted_sockets import SocketKeys, client_socket, connect
from deployments.gateway.admission.limits import OverLimit, Quota, Unit
from deployments.gateway.peer_sync import PeerSync
from deployments.gateway.replicas.directory import Directory
from deployments.kv_cache import report_subscriber
from deployments.routing import Request, Router
from tests.support.front import until
from tests.support.processes import fake_fleet, fake_pool, replica_info

SECRETS = FleetSecrets((b"a-secret-of-this-fleet",))
OTHERS = FleetSecrets((b"a-secret-of-another-fleet",))


@asynccontextmanager
async def gateway(
    secrets: FleetSecrets, limits: Mapping[str, Quota] | None = None
) -> AsyncIterator[tuple[PeerSync, Router]]:
    directory = Directory(fake_fleet())
    directory.update([replica_info("http://127.0.0.1:1", fake_pool())])
    peer_sync = PeerSync(directory, limits or {}, "127.0.0.1", secrets)
    await peer_sync.start()
    try:
        yield peer_sync, directory.models[0].router
    finally:
        await peer_sync.stop()


async def test_only_gateways_of_the_fleet_hear_of_bookings() -> None:
    async with gateway(SECRETS) as (one, router), gateway(SECRETS) as (two, known), gateway(OTHERS) as (alien, none):
        for peer_sync in (two, alien):
            peer_sync.connect([one.endpoint, two.endpoint, alien.endpoint, "no address", "tcp://127.0.0.1:1#00"])
        one.connect([two.endpoint, alien.endpoint])
        booking = router.place(Request(tokens=100), 1.0)
        assert booking is not None
        await until(lambda: known.table.others_open.sum() == 1, 30)
        assert none.table.others_open.sum() == 0
        router.release(booking, 2.0)
        await until(lambda: known.table.others_open.sum() == 0, 30)


async def test_a_tenants_limits_hold_for_all_gateways_together() -> None:
    quotas = [Quota(Limits(tokens_per_minute=100, concurrent_requests=1)) for _ in range(2)]
    async with gateway(SECRETS, {"t": quotas[0]}) as (one, _), gateway(SECRETS, {"t": quotas[1]}) as (two, _):
        two.connect([one.endpoint, two.endpoint])
        quotas[0].charge(Unit.TOKENS, 100)
        quotas[0].concurrency.enter(1)
        await until(lambda: not quotas[1].concurrency.has_room(), 30)
        with pytest.raises(OverLimit):
            quotas[1].charge(Unit.TOKENS, 100)
        quotas[0].concurrency.leave(1)
        await until(lambda: quotas[1].concurrency.has_room(), 30)
        quotas[0].concurrency.enter(1)
        await until(lambda: not quotas[1].concurrency.has_room(), 30)
        await one.stop()
        await until(lambda: quotas[1].concurrency.has_room(), 30)


async def test_a_gateway_that_starts_takes_over_what_the_others_have_learned() -> None:
    async with gateway(SECRETS) as (one, router):
        for second in range(10):
            booking = router.place(Request(tokens=1000), second)
            assert booking is not None
            router.first_token(booking, second + 0.25)
            router.finish(booking, second + 0.75, 51, 0)
        async with gateway(SECRETS) as (two, newcomer):
            two.connect([one.endpoint, two.endpoint])
            await until(lambda: newcomer.learned() == router.learned(), 30)


async def test_keys_for_cache_reports_do_not_open_it() -> None:
    async with gateway(SECRETS) as (one, _):
        socket = client_socket(zmq.SUB)
        try:
            socket.subscribe(b"")
            connect(socket, one.endpoint, SocketKeys.of(SECRETS, report_subscriber.PURPOSE))
            assert not await socket.poll(1500)
        finally:
            socket.close(linger=0)


async def test_an_exchange_that_never_started_can_be_stopped() -> None:
    await PeerSync(Directory(fake_fleet()), {}, "127.0.0.1", SECRETS).stop()
