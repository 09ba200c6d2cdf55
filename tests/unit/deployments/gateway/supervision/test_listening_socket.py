from __future__ import annotations

import socket

import pytest

from deployments.gateway.supervision.listening_socket import listening_sockets


def ports(host: str, port: int = 0) -> tuple[list[socket.socket], set[int]]:
    sockets = listening_sockets(host, port)
    return sockets, {each.getsockname()[1] for each in sockets}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost", "0.0.0.0", "::"])
def test_every_address_of_a_host_listens_on_one_port(host: str) -> None:
    sockets, (port,) = ports(host)
    try:
        for each in sockets:
            address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(each.getsockname()[0], each.getsockname()[0])
            with socket.create_connection((address, port), timeout=5):
                each.setblocking(True)
                each.accept()[0].close()
    finally:
        for each in sockets:
            each.close()


def test_taken_port_is_an_error_and_leaves_no_socket_open() -> None:
    sockets, (port,) = ports("127.0.0.1")
    with pytest.raises(OSError, match="Address already in use"):
        listening_sockets("127.0.0.1", port)
    sockets[0].close()
    again, _ = ports("127.0.0.1", port)
    again[0].close()


def test_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(OSError, match="Cannot assign"):
        listening_sockets("192.0.2.1", 0)
