"""Bookings between gateways: over sockets that let in gateways of the fleet alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import zmq

from cluster.fleet_secrets import FleetSecrets
from deployments.encrypted_sockets import SocketKeys, client_socket, connect
from deployments.gateway.peer_sync import PeerSync
from deployments.gateway.replicas.directory import Directory
from deployments.kv_cache import report_subscriber
from deployments.routing import Request, Router
from tests.support.front import until
from tests.support.processes import fake_fleet, fake_pool, replica_info

SECRETS = FleetSecrets((b"a-secret-of-this-fleet",))
OTHERS = FleetSecrets((b"a-secret-of-another-fleet",))


@asynccontextmanager
async def gateway(secrets: FleetSecrets) -> AsyncIterator[tuple[PeerSync, Router]]:
    directory = Directory(fake_fleet())
    directory.update([replica_info("http://127.0.0.1:1", fake_pool())])
    peer_sync = PeerSync(directory, "127.0.0.1", secrets)
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
    await PeerSync(Directory(fake_fleet()), "127.0.0.1", SECRETS).stop()
