"""A proxy on loopback that keeps what it gets and refuses it, and an environment that names it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
NO_PROXY = ("no_proxy", "NO_PROXY")
HEADERS_END = b"\r\n\r\n"
READ_S = 5.0


@dataclass
class RecordingProxy:
    """`received`: the head of each request."""

    url: str
    received: list[bytes] = field(default_factory=list)

    def set_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Names this proxy in the environment for all addresses, without any exception."""
        for name in VARIABLES:
            monkeypatch.setenv(name, self.url)
        for name in NO_PROXY:
            monkeypatch.delenv(name, raising=False)


@contextmanager
def recording_proxy(status: str = "403 Forbidden") -> Iterator[RecordingProxy]:
    """Answers every request with this status."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        proxy = RecordingProxy(f"http://127.0.0.1:{listening.getsockname()[1]}")

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(READ_S)
                    head = b""
                    while HEADERS_END not in head and (piece := connection.recv(65_536)):
                        head += piece
                    proxy.received.append(head)
                    connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(READ_S)
