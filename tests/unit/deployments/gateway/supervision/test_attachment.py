"""Who attaches to a supervisor, and who may pass for one."""

from __future__ import annotations

import asyncio
import secrets
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop

from deployments.gateway.supervision.attachment import attach, listen, socket_name
from deployments.gateway.supervision.control_channel import Channel
from deployments.gateway.supervision.control_messages import AskReplicas, End
from tests.support.other_users import NOBODY, needs_root

IMPOSTOR = """
import os, socket, sys
os.setgroups([])
os.setresgid(*[{uid}] * 3)
os.setresuid(*[{uid}] * 3)
listener = socket.socket(socket.AF_UNIX)
listener.bind(b"\\0" + sys.argv[1].encode())
listener.listen(int(sys.argv[2]))
print("listens", flush=True)
sys.stdin.read()
"""
VISITOR = """
import os, socket, sys
os.setresuid(*[{uid}] * 3)
visitor = socket.socket(socket.AF_UNIX)
visitor.connect(b"\\0" + sys.argv[1].encode())
print(visitor.recv(1), flush=True)
"""


@pytest.fixture
def name() -> str:
    return socket_name(secrets.token_hex(8))


@pytest.fixture
async def received(name: str) -> AsyncIterator[asyncio.Queue[object]]:
    """What a supervisor of that name gets from those who attach to it."""
    messages: asyncio.Queue[object] = asyncio.Queue()

    async def attached(channel: Channel) -> None:
        messages.put_nowait(await channel.receive())

    server = await listen(name, attached)
    yield messages
    server.close()


@contextmanager
def impostor(address: str, backlog: int = 1) -> Iterator[None]:
    """A process of another user that listens there."""
    command = [sys.executable, "-S", "-c", IMPOSTOR.format(uid=NOBODY), address, str(backlog)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        assert started.stdin is not None
        assert started.stdout.readline() == b"listens\n"
        yield
        started.stdin.close()


async def test_an_actor_attaches_to_the_supervisor_of_its_name(name: str, received: asyncio.Queue[object]) -> None:
    assert await attach(f"{name}x") is None
    channel = await attach(name)
    assert channel
    channel.send(End())
    async with asyncio.timeout(30):
        assert await received.get() == End()
    channel.close()


@needs_root
async def test_another_users_process_cannot_pass_for_the_supervisor(name: str) -> None:
    with impostor(f"{name}-{'0' * 32}"), impostor(name):
        assert await attach(name) is None


@needs_root
async def test_another_users_process_keeps_no_supervisor_from_its_actor(name: str) -> None:
    with impostor(f"{name}-{'0' * 32}"), impostor(name):
        messages: asyncio.Queue[object] = asyncio.Queue()

        async def attached(channel: Channel) -> None:
            messages.put_nowait(await channel.receive())

        server = await listen(name, attached)
        channel = await attach(name)
        assert channel
        channel.send(AskReplicas())
        async with asyncio.timeout(30):
            assert await messages.get() == AskReplicas()
        channel.close()
        server.close()


@needs_root
async def test_another_users_process_is_not_attached(name: str, received: asyncio.Queue[object]) -> None:
    sockets = Path("/proc/net/unix").read_text().splitlines()  # noqa: ASYNC240  # no disk behind it
    (address,) = [line.rpartition("@")[2] for line in sockets if f"@{name}-" in line]
    command = [sys.executable, "-S", "-c", VISITOR.format(uid=NOBODY), address]
    visitor = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await visitor.communicate()
    assert out == b"b''\n"
    assert received.empty()


async def test_there_is_one_supervisor_of_a_name(name: str, received: asyncio.Queue[object]) -> None:
    async def attached(_: Channel) -> None:
        raise AssertionError("nobody attaches")

    with pytest.raises(OSError, match="Address already in use"):
        await listen(name, attached)


def test_actors_on_uvloop_attach_too(name: str) -> None:
    """It takes an abstract address for an empty path."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}-x")
        listener.listen()

        async def attaches() -> bool:
            channel = await attach(name)
            if channel:
                channel.close()
            return channel is not None

        assert uvloop.run(attaches())
