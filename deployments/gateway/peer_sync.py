"""What gateways tell each other of their bookings, over encrypted ZeroMQ that lets in gateways of the fleet alone.

Each publishes all that it has open on every replica, 20 times a second while that changes and once a second while it
does not. So another gateway's booking is known here after 50 ms at most, and the way between the two; a message that
is lost is made good by the next, and a gateway that is silent for three seconds is forgotten.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterable

import msgspec
import zmq

from cluster.fleet_secrets import FleetSecrets
from deployments.encrypted_sockets import Server, SocketKeys, client_socket, connect
from deployments.gateway.replicas.directory import Directory
from deployments.routing import Outstanding

PURPOSE = "bookings of gateways"
"""Of the socket keys of gateways among each other."""

PERIOD_S = 0.05
IDLE_PERIOD_S = 1.0
SILENT_S = 3.0
MOST_MESSAGES = 100
"""In a socket's queue: each replaces the ones before it."""

logger = logging.getLogger("mixfleet.gateway")

Open = dict[str, dict[str, tuple[int, int, int, tuple[float, ...]]]]
"""Model -> incarnation -> the fields of an `Outstanding`."""


class _Bookings(msgspec.Struct, array_like=True):
    gateway: str
    open: Open


class PeerSync:
    """One gateway's part. Belongs to one event loop, as the directory does."""

    def __init__(self, directory: Directory, host: str, fleet_secrets: FleetSecrets) -> None:
        self.name = secrets.token_hex(8)
        self.endpoint = ""
        """Where this gateway publishes, once it has started, as `encrypted_sockets` writes addresses."""
        self._directory, self._host = directory, host
        self._heard: dict[str, float] = {}
        self._connected: dict[str, str] = {}
        """Address -> the endpoint that the socket knows it by."""
        self._tasks: list[asyncio.Task[None]] = []
        self._keys = SocketKeys.of(fleet_secrets, PURPOSE)
        self._server: Server | None = None
        self._decoder = msgspec.msgpack.Decoder(_Bookings)

    async def start(self) -> None:
        self._server = Server(self._keys, self._host)
        self._out, self._in = self._server.plain_socket(zmq.PUB), client_socket(zmq.SUB)
        self._out.set_hwm(MOST_MESSAGES)
        self._in.setsockopt(zmq.RCVHWM, MOST_MESSAGES)
        self._in.subscribe(b"")
        self.endpoint = self._server.bind(self._out)
        self._tasks = [asyncio.create_task(self._publish()), asyncio.create_task(self._listen())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server:
            self._server.close()
            self._in.close(linger=0)

    def connect(self, endpoints: Iterable[str]) -> None:
        """Takes the full list of gateways that are there now, this one among them."""
        wanted = set(endpoints) - {self.endpoint}
        for address in wanted - self._connected.keys():
            try:
                self._connected[address] = connect(self._in, address, self._keys)
            except (ValueError, zmq.ZMQError) as error:
                logger.warning("a gateway's bookings cannot be followed: %s", error)
        for address in self._connected.keys() - wanted:
            self._in.disconnect(self._connected.pop(address))

    async def _publish(self) -> None:
        told: Open | None = None
        told_at = 0.0
        while True:
            now = time.monotonic()
            current = self._open()
            if current != told or now - told_at >= IDLE_PERIOD_S:
                self._out.send(msgspec.msgpack.encode(_Bookings(self.name, current)))
                told, told_at = current, now
            self._forget_the_silent(now)
            await asyncio.sleep(PERIOD_S)

    async def _listen(self) -> None:
        while True:
            message = await self._in.recv()
            try:
                told = self._decoder.decode(message)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                logger.warning("a gateway's bookings cannot be read: %s", error)
                continue
            if told.gateway == self.name:
                continue
            self._heard[told.gateway] = time.monotonic()
            self._take(told.gateway, told.open)

    def _open(self) -> Open:
        return {
            served.model.name: {
                incarnation: (o.open_requests, o.open_tokens, o.waiting_requests, o.waiting_work)
                for incarnation, o in served.router.outstanding().items()
            }
            for served in self._directory.models
        }

    def _take(self, gateway: str, told: Open) -> None:
        for served in self._directory.models:
            of_model = told.get(served.model.name, {})
            served.router.set_others(gateway, {i: Outstanding(*fields) for i, fields in of_model.items()})
            # Where the other's bookings end there may be room for who waits here.
            served.admission.grant()

    def _forget_the_silent(self, now: float) -> None:
        for gateway in [gateway for gateway, heard in self._heard.items() if now - heard > SILENT_S]:
            del self._heard[gateway]
            self._take(gateway, {})
