"""The sockets on which processes listen, from /proc, and what a stranger gets from them."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import zmq

LISTENS = "0A"
"""`TCP_LISTEN` in /proc/net/tcp."""

STRANGER = "127.0.0.2"
"""Another address of loopback than that on which anything of a fleet listens."""


@dataclass(frozen=True)
class Listening:
    """A TCP socket that some process listens on."""

    pid: int
    host: str
    port: int

    def command(self) -> str:
        return Path(f"/proc/{self.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()


def listening(pids: Iterable[int]) -> set[Listening]:
    """All listening TCP sockets of these processes."""
    by_inode = {**_table("tcp"), **_table("tcp6")}
    return {Listening(pid, *by_inode[inode]) for pid in pids for inode in _socket_inodes(pid) if inode in by_inode}


def _table(name: str) -> dict[str, tuple[str, int]]:
    """Inode -> address, of all sockets of this network namespace that listen."""
    found = {}
    for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
        _, local, _, state, *fields = line.split()
        if state == LISTENS:
            host, port = local.split(":")
            found[fields[5]] = _address(host), int(port, 16)
    return found


def _address(digits: str) -> str:
    """The kernel prints each four bytes as a number of this machine's byte order."""
    words = [bytes.fromhex(digits[n : n + 8])[::-1] for n in range(0, len(digits), 8)]
    packed = b"".join(words)
    return str(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed))


def _socket_inodes(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            if inode := re.fullmatch(r"socket:\[(\d+)\]", str(entry.readlink())):
                found.add(inode[1])
        except FileNotFoundError:
            continue
    return found


def accepted_by(pids: Iterable[int], port: int, client_port: int) -> int:
    """Which of these processes has accepted the connection from `client_port` to `port`, both over IPv4."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, *fields = line.split()
        if [int(address.split(":")[1], 16) for address in (local, remote)] == [port, client_port]:
            return next(pid for pid in pids if fields[5] in _socket_inodes(pid))
    raise LookupError(f"no connection from {client_port} to {port}")


def http_answer(host: str, port: int, method: str, path: str, timeout_s: float = 5) -> bytes:
    """All bytes that a stranger gets for a request without a key; none where the connection is refused or closed."""
    request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    received = b""
    try:
        with socket.create_connection((host, port), timeout_s, source_address=(STRANGER, 0)) as connection:
            connection.sendall(request.encode())
            while piece := connection.recv(65_536):
                received += piece
    except (ConnectionError, TimeoutError):
        pass
    return received


class ZmqStranger:
    """A subscriber and asker without any key, from another address."""

    def __init__(self, events: str, replay: str) -> None:
        self._context = zmq.Context()
        self._subscriber, self._asker = self._context.socket(zmq.SUB), self._context.socket(zmq.DEALER)
        self._subscriber.setsockopt(zmq.SUBSCRIBE, b"")
        for made, endpoint in ((self._subscriber, events), (self._asker, replay)):
            made.connect(endpoint.replace("tcp://", f"tcp://{STRANGER}:0;"))

    def events(self, timeout_s: float) -> list[bytes]:
        """Frames of the first message that is published; none where none comes in time."""
        return self._subscriber.recv_multipart() if self._subscriber.poll(1000 * timeout_s) else []

    def replay(self, timeout_s: float) -> list[bytes]:
        """Frames of the first answer to a request for all batches that are kept; none where it is cut off."""
        try:
            self._asker.send_multipart([b"", (0).to_bytes(8, "big")], flags=zmq.NOBLOCK)
        except zmq.Again:
            return []
        return self._asker.recv_multipart() if self._asker.poll(1000 * timeout_s) else []

    def close(self) -> None:
        self._context.destroy(linger=0)
