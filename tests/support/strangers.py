"""Ways in which clients without the fleet's keys connect to its ZeroMQ sockets."""

from __future__ import annotations

import zmq.asyncio

from deployments.encrypted_sockets import KeyPair, split_address


def with_own_key(socket: zmq.asyncio.Socket, address: str) -> None:
    """Knows the server's key, as everyone may, and comes with a key of its own."""
    endpoint, server = split_address(address)
    own = KeyPair.of(bytes(range(32)))
    socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = server, own.public, own.secret
    socket.connect(endpoint)


def without_keys(socket: zmq.asyncio.Socket, address: str) -> None:
    socket.connect(split_address(address)[0])
