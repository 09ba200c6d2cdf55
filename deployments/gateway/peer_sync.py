"""What gateways tell each other, over encrypted ZeroMQ that lets in gateways of the fleet alone.

Each publishes what has changed, 20 times a second, and everything once a second. So another gateway's booking is known
here after 50 ms at most, and the way between the two; a message that is lost is made good within a second, and a
gateway that is silent for three is forgotten. One that starts takes over what the others have learned of replicas'
speeds, and what they find left of tenants' limits.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterable, Mapping

import msgspec
import numpy as np
import zmq

from cluster.fleet_secrets import FleetSecrets
from deployments.encrypted_sockets import Server, SocketKeys, client_socket, connect
from deployments.gateway.admission.limits import Quota, Use
from deployments.gateway.replicas.directory import Directory
from deployments.gateway.replicas.learned_speeds import adopt_speeds, learned_speeds
from deployments.routing import OpenBookings
from deployments.routing.sharing import ROWS

PURPOSE = "bookings of gateways"
"""Of the socket keys of gateways among each other."""

PERIOD_S = 0.05
WHOLE_PERIOD_S = 1.0
SILENT_S = 3.0
ADOPTING_S = 10.0
"""After a gateway's start, in which it takes over what others have learned."""
NOTHING = OpenBookings((), np.zeros((ROWS, 0), np.int64), everything=True)
"""Of a gateway that has nothing open, or is gone."""
MOST_MESSAGES = 100
"""In a socket's queue: each replaces the ones before it."""

logger = logging.getLogger("mixfleet.gateway")


class _OfModel(msgspec.Struct, array_like=True):
    """Of one model's replicas: their incarnations, and the numbers of `OpenBookings` as little-endian int64."""

    incarnations: list[str]
    numbers: bytes


class _Bookings(msgspec.Struct, array_like=True):
    gateway: str
    everything: bool
    open: dict[str, _OfModel]
    """By model."""
    used: dict[str, Use]
    """By tenant."""
    learned: bytes
    """Of `everything`: speeds, as `learned_speeds` writes them. Only who has just started reads them."""


class PeerSync:
    """One gateway's part. Belongs to one event loop, as the directory does."""

    def __init__(
        self, directory: Directory, limits: Mapping[str, Quota], host: str, fleet_secrets: FleetSecrets
    ) -> None:
        """`limits`: of each tenant that has any, by its name. `host`: to publish on."""
        self.name = secrets.token_hex(8)
        self.endpoint = ""
        """Where this gateway publishes, once it has started, as `encrypted_sockets` writes addresses."""
        self._directory, self._limits, self._host = directory, limits, host
        self._published_use: dict[str, Use] = {}
        self._adopts_until = 0.0
        self._heard: dict[str, float] = {}
        self._connected: dict[str, str] = {}
        """Address -> the endpoint that the socket knows it by."""
        self._tasks: list[asyncio.Task[None]] = []
        self._keys = SocketKeys.of(fleet_secrets, PURPOSE)
        self._server: Server | None = None
        self._decoder = msgspec.msgpack.Decoder(_Bookings)

    async def start(self) -> None:
        self._adopts_until = time.monotonic() + ADOPTING_S
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
        whole_at = -WHOLE_PERIOD_S
        while True:
            now = time.monotonic()
            everything = now - whole_at >= WHOLE_PERIOD_S
            if everything:
                whole_at = now
            changed, used = self._changed(everything), self._used(everything)
            if changed or used or everything:
                learned = learned_speeds(self._directory) if everything else b""
                self._out.send(msgspec.msgpack.encode(_Bookings(self.name, everything, changed, used, learned)))
            self._forget_the_silent(now)
            await asyncio.sleep(PERIOD_S)

    async def _listen(self) -> None:
        while True:
            message = await self._in.recv()
            try:
                told = self._decoder.decode(message)
                opened = {name: _decoded(of_model, told.everything) for name, of_model in told.open.items()}
                if told.learned and time.monotonic() < self._adopts_until:
                    adopt_speeds(self._directory, told.learned)
            except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
                logger.warning("a gateway's bookings cannot be read: %s", error)
                continue
            if told.gateway == self.name:
                continue
            self._heard[told.gateway] = time.monotonic()
            self._take(told.gateway, opened, told.everything)
            self._take_use(told.gateway, told.used)

    def _changed(self, everything: bool) -> dict[str, _OfModel]:
        changed = {}
        for served in self._directory.models:
            bookings = served.router.open_bookings(everything)
            if bookings.incarnations:
                numbers = bookings.numbers.astype("<i8").tobytes()
                changed[served.model.name] = _OfModel(list(bookings.incarnations), numbers)
        return changed

    def _used(self, everything: bool) -> dict[str, Use]:
        used = {}
        for name, quota in self._limits.items():
            use, last = quota.use(), self._published_use.get(name)
            if last is None and not use.running and not any(use.taken):
                continue
            if everything or last is None or (use.running, use.taken) != (last.running, last.taken):
                used[name] = self._published_use[name] = use
        return used

    def _take_use(self, gateway: str, used: Mapping[str, Use]) -> None:
        for name, use in used.items():
            if quota := self._limits.get(name):
                try:
                    quota.set_elsewhere(gateway, use)
                except ValueError:  # while a fleet is replaced by one with other limits
                    quota.set_elsewhere(gateway, None)

    def _take(self, gateway: str, opened: Mapping[str, OpenBookings], everything: bool) -> None:
        for served in self._directory.models:
            bookings = opened.get(served.model.name)
            if bookings is None and not everything:
                continue
            served.router.set_others(gateway, bookings or NOTHING)
            # Where the other's bookings end there may be room for who waits here.
            served.admission.grant()

    def _forget_the_silent(self, now: float) -> None:
        for gateway in [gateway for gateway, heard in self._heard.items() if now - heard > SILENT_S]:
            del self._heard[gateway]
            self._take(gateway, {}, everything=True)
            for quota in self._limits.values():
                quota.set_elsewhere(gateway, None)


def _decoded(of_model: _OfModel, everything: bool) -> OpenBookings:
    """Raises ValueError where there are not as many numbers as there should be."""
    numbers = np.frombuffer(of_model.numbers, "<i8").reshape(ROWS, len(of_model.incarnations))
    return OpenBookings(of_model.incarnations, numbers, everything)
