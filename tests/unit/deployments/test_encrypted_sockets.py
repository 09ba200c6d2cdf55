"""Who gets in, and what everyone else gets: over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from socket import create_connection
from typing import Any

import pytest
import uvloop
import zmq
import zmq.asyncio

from cluster.fleet_secrets import FleetSecrets
from deployments.encrypted_sockets import Server, SocketKeys, client_socket, connect, split_address
from tests.support.strangers import with_own_key, without_keys

OLD, NEW = b"the-old-secret-of-this-fleet", b"the-new-secret-of-this-fleet"
SECRETS = FleetSecrets((NEW,))
PURPOSE = "tests"
KEYS = SocketKeys.of(SECRETS, PURPOSE)
NOTHING_WITHIN_S = 1.0

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)
LONG_COMMAND = b"\x06"
"""The flags of a frame of ZMTP whose length has eight bytes."""

Configure = Callable[[zmq.asyncio.Socket, str], Any]


@asynccontextmanager
async def publishing(keys: SocketKeys = KEYS, host: str = "127.0.0.1") -> AsyncIterator[tuple[str, str]]:
    """Addresses of a socket that publishes again and again, and of one that answers."""
    server = Server(keys, host)
    reports, answers = server.plain_socket(zmq.PUB), server.socket(zmq.ROUTER)
    addresses = server.bind(reports), server.bind(answers)

    async def publish() -> None:
        while True:
            reports.send(b"news")
            await asyncio.sleep(0.01)

    async def answer() -> None:
        while True:
            client, _ = await answers.recv_multipart()
            await answers.send_multipart([client, b"answer"])

    tasks = [asyncio.create_task(publish()), asyncio.create_task(answer())]
    try:
        yield addresses
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        server.close()


async def heard(kind: int, configure: Configure, address: str, within_s: float = 30) -> bytes | None:
    """What a client that is set up so hears from that address; None where it hears nothing in this time."""
    socket = client_socket(kind)
    try:
        configure(socket, address)
        if kind == zmq.SUB:
            socket.subscribe(b"")
        else:
            await socket.send(b"question")
        async with asyncio.timeout(within_s):
            return await socket.recv()
    except TimeoutError:
        return None
    finally:
        socket.close(linger=0)


def with_keys(keys: SocketKeys) -> Configure:
    return lambda socket, address: connect(socket, address, keys)


def as_plain_user(socket: zmq.asyncio.Socket, address: str) -> None:
    socket.plain_username, socket.plain_password = b"admin", b"admin"
    socket.connect(split_address(address)[0])


def of_another_server(socket: zmq.asyncio.Socket, address: str) -> None:
    connect(socket, split_address(address)[0] + "#" + "11" * 32, KEYS)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_clients_of_the_fleet_hear_both_kinds_of_socket(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def scenario() -> None:
        async with publishing() as (reports, answers):
            assert await heard(zmq.SUB, with_keys(KEYS), reports) == b"news"
            assert await heard(zmq.DEALER, with_keys(KEYS), answers) == b"answer"

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())


STRANGERS: dict[str, Configure] = {
    "unlisted key": with_own_key,
    "no key": without_keys,
    "plain": as_plain_user,
    "another server's key": of_another_server,
    "another purpose": with_keys(SocketKeys.of(SECRETS, "another purpose")),
    "another fleet": with_keys(SocketKeys.of(FleetSecrets((OLD,)), PURPOSE)),
}


async def test_who_is_not_listed_gets_nothing() -> None:
    async with publishing() as (reports, answers):
        silence = await asyncio.gather(
            *(heard(zmq.SUB, configure, reports, NOTHING_WITHIN_S) for configure in STRANGERS.values()),
            *(heard(zmq.DEALER, configure, answers, NOTHING_WITHIN_S) for configure in STRANGERS.values()),
        )
        got = [(name, message) for name, message in zip([*STRANGERS, *STRANGERS], silence, strict=True) if message]
        assert not got
        assert await heard(zmq.SUB, with_keys(KEYS), reports) == b"news", "and the fleet's own still do"


async def test_a_stranger_fills_no_memory_with_a_long_message_before_it_is_refused() -> None:
    def send_much(address: str) -> int:
        port = int(split_address(address)[0].rpartition(":")[2])
        sent = 0
        with create_connection(("127.0.0.1", port)) as connection, suppress(ConnectionError):
            connection.sendall(GREETING + LONG_COMMAND + (32 << 20).to_bytes(8, "big") + b"\x05HELLO")
            while sent < 32 << 20:
                sent += connection.send(bytes(1 << 16))
        return sent

    async with publishing() as addresses:
        for address in addresses:
            assert await asyncio.to_thread(send_much, address) < 32 << 20, "more than the kernel's buffers hold"
        assert await heard(zmq.SUB, with_keys(KEYS), addresses[0]) == b"news"


@pytest.mark.parametrize("client", [(OLD,), (NEW,), (OLD, NEW)], ids=["old", "new", "both"])
async def test_with_two_secrets_valid_old_and_new_clients_get_in(client: tuple[bytes, ...]) -> None:
    both = SocketKeys.of(FleetSecrets((NEW, OLD)), PURPOSE)
    async with publishing(both) as (reports, answers):
        keys = SocketKeys.of(FleetSecrets(client), PURPOSE)
        assert await heard(zmq.SUB, with_keys(keys), reports) == b"news"
        assert await heard(zmq.DEALER, with_keys(keys), answers) == b"answer"


async def test_a_server_without_anyone_to_ask_lets_nobody_in() -> None:
    server = Server(KEYS, "127.0.0.1")
    server._authenticator.stop()
    reports = server.plain_socket(zmq.PUB)
    address = server.bind(reports)
    listening = asyncio.create_task(heard(zmq.SUB, with_keys(KEYS), address, NOTHING_WITHIN_S))
    while not listening.done():
        reports.send(b"news")
        await asyncio.sleep(0.01)
    assert await listening is None
    reports.close(linger=0)
    server._context.term()


async def test_an_address_without_a_key_is_of_a_server_with_the_same_secret() -> None:
    async with publishing() as (reports, _):
        plain = split_address(reports)[0]
        assert await heard(zmq.SUB, with_keys(KEYS), plain) == b"news"


async def test_ipv6() -> None:
    async with publishing(host="::1") as (reports, _):
        assert reports.startswith("tcp://[::1]:")
        assert await heard(zmq.SUB, with_keys(KEYS), reports) == b"news"


@pytest.mark.parametrize("key", ["", "00", "zz" * 32, "00" * 33])
def test_an_address_with_a_broken_key_is_refused_with_what_to_write(key: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        split_address(f"tcp://127.0.0.1:1#{key}")


def test_keys_differ_by_purpose_and_side_and_show_no_secret() -> None:
    others = [SocketKeys.of(SECRETS, PURPOSE), SocketKeys.of(SECRETS, "b"), SocketKeys.of(FleetSecrets((OLD,)), "b")]
    pairs = [pair for keys in others for pair in (keys.server, keys.client)]
    assert len({pair.secret for pair in pairs}) == len({pair.public for pair in pairs}) == 6
    assert pairs[0].secret.decode() not in repr(others)
