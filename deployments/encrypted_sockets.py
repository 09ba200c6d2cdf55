"""ZeroMQ sockets between processes of one fleet: encrypted, and open to listed keys alone (CURVE with ZAP).

Both sides' keys come from the fleet's secret, one pair of pairs for each purpose. CURVE proves the server to its
clients, and by itself lets in whoever knows the server's key; ZAP asks here, of each connection, whether the client's
own key is one of this fleet's. Of several secrets that are valid at once, a server uses the first and lets in the
clients of all: so its public key stands in its address, which is `tcp://HOST:PORT#KEY` (hexadecimal).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import zmq
import zmq.asyncio
from zmq.auth.asyncio import AsyncioAuthenticator
from zmq.utils import z85

from cluster.addresses import host_in_url
from cluster.fleet_secrets import FleetSecrets

ZAP_DOMAIN = "mixfleet"
HEARTBEAT_MS = 2_000
HEARTBEAT_TIMEOUT_MS = 10_000
"""A connection whose other end is silent for so long is closed and made anew."""
MOST_RECONNECT_MS = 2_000
HANDSHAKE_MS = 5_000
"""A connection that has not proved itself by then is closed."""
MOST_MESSAGE_BYTES = 64 << 20
"""Of what a client takes of a server, which has proved itself by then."""

MOST_REQUEST_BYTES = 4 << 10
"""Of what a server takes of anyone, where it does not say otherwise: ZeroMQ keeps a message whole in memory, also of
those that have not proved themselves yet."""

AnySocket = zmq.Socket[bytes] | zmq.asyncio.Socket


@dataclass(frozen=True)
class KeyPair:
    """Both halves in ZeroMQ's own text form (Z85)."""

    public: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> Self:
        """Any 32 bytes are the secret half of a pair."""
        text = z85.encode(secret)
        return cls(zmq.curve_public(text), text)


@dataclass(frozen=True)
class SocketKeys:
    """The keys of one purpose, such as "cache reports". Keys of one purpose open no socket of another.

    Attributes:
        clients: public keys that a server lets in.
    """

    server: KeyPair
    client: KeyPair
    clients: frozenset[bytes]

    @classmethod
    def of(cls, secrets: FleetSecrets, purpose: str) -> Self:
        client = f"curve client {purpose}"
        return cls(
            KeyPair.of(secrets.derive(f"curve server {purpose}")),
            KeyPair.of(secrets.derive(client)),
            frozenset(KeyPair.of(secret).public for secret in secrets.accepted(client)),
        )

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether ZAP lets in the client of this public key: what pyzmq calls a credentials provider."""
        return key in self.clients


class Server:
    """Sockets that listen for clients of one purpose. Belongs to one event loop; `close` must be called.

    They have a context of their own, since a context has one ZAP handler.
    """

    def __init__(self, keys: SocketKeys, host: str) -> None:
        """`host`: the address to listen on. Starts within a running event loop."""
        self._keys, self._host = keys, host
        self._context = zmq.asyncio.Context()
        self._authenticator = AsyncioAuthenticator(zmq.Context(self._context))
        self._authenticator.start()
        self._authenticator.configure_curve_callback(ZAP_DOMAIN, keys)
        self._sockets: list[AnySocket] = []

    def plain_socket(self, kind: int) -> zmq.Socket[bytes]:
        """One whose calls return at once, or block where its kind does: for publishers, which never do."""
        made = zmq.Socket(zmq.Context(self._context), kind)
        self._configure(made)
        return made

    def socket(self, kind: int) -> zmq.asyncio.Socket:
        """One whose calls are awaited."""
        made: zmq.asyncio.Socket = self._context.socket(kind)
        self._configure(made)
        return made

    def _configure(self, made: AnySocket) -> None:
        self._sockets.append(made)
        _set_common(made)
        made.setsockopt(zmq.MAXMSGSIZE, MOST_REQUEST_BYTES)
        made.setsockopt(zmq.IPV6, int(":" in self._host))
        made.curve_server = True
        made.curve_publickey, made.curve_secretkey = self._keys.server.public, self._keys.server.secret
        made.zap_domain = ZAP_DOMAIN.encode()
        made.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # were nobody there to ask, nobody would get in

    def bind(self, socket: AnySocket) -> str:
        """Listens on a port that the OS chooses, and returns the address for clients. Raises zmq.ZMQError."""
        socket.bind(f"tcp://{host_in_url(self._host)}:0")
        endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        return f"{endpoint}#{z85.decode(self._keys.server.public).hex()}"

    def close(self) -> None:
        """Closes all of its sockets. Nothing that was not sent yet is waited for."""
        self._authenticator.stop()
        for socket in self._sockets:
            socket.close(linger=0)
        self._context.term()


def client_socket(kind: int) -> zmq.asyncio.Socket:
    """A socket for `connect`. Who made it closes it."""
    made: zmq.asyncio.Socket = zmq.asyncio.Context.instance().socket(kind)
    _set_common(made)
    return made


def connected_socket(
    kind: int, address: str, keys: SocketKeys, options: Mapping[int, int | bytes]
) -> zmq.asyncio.Socket:
    """A client's socket with these options, connected to one server. The caller closes it. Raises as `connect`."""
    made = client_socket(kind)
    try:
        for option, value in options.items():
            made.setsockopt(option, value)
        connect(made, address, keys)
    except BaseException:
        made.close(linger=0)
        raise
    return made


def connect(socket: zmq.asyncio.Socket, address: str, keys: SocketKeys) -> str:
    """Connects a client's socket to a server's address, and returns the endpoint, by which it can be disconnected.

    An address without a key is that of a server which uses the same secret. Raises ValueError where it is no address,
    zmq.ZMQError where ZeroMQ cannot connect to it.
    """
    endpoint, server = split_address(address)
    socket.setsockopt(zmq.IPV6, int("[" in endpoint))
    socket.curve_serverkey = server or keys.server.public
    socket.curve_publickey, socket.curve_secretkey = keys.client.public, keys.client.secret
    socket.connect(endpoint)
    return endpoint


def split_address(address: str) -> tuple[str, bytes | None]:
    """The endpoint, and the server's public key where the address has one. Raises ValueError."""
    endpoint, mark, key = address.partition("#")
    if not mark:
        return endpoint, None
    try:
        octets = bytes.fromhex(key)
    except ValueError:
        octets = b""
    if len(octets) != 32:
        raise ValueError(f"{address[:200]!r} is no address: after # belong the 64 hexadecimal digits of a server's key")
    return endpoint, z85.encode(octets)


def _set_common(socket: AnySocket) -> None:
    for option, value in (
        (zmq.LINGER, 0),
        (zmq.MAXMSGSIZE, MOST_MESSAGE_BYTES),
        (zmq.HANDSHAKE_IVL, HANDSHAKE_MS),
        (zmq.HEARTBEAT_IVL, HEARTBEAT_MS),
        (zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS),
        (zmq.RECONNECT_IVL_MAX, MOST_RECONNECT_MS),
    ):
        socket.setsockopt(option, value)
