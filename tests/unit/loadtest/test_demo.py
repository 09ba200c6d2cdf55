"""The demo's own decisions."""

from __future__ import annotations

import socket

from cluster.fleet import Gateway
from deployments.engine.process import free_port
from loadtest.demo import on_a_free_port


def test_a_free_port_is_kept() -> None:
    gateway = Gateway(port=free_port("127.0.0.1"))
    assert on_a_free_port(gateway) == gateway


def test_a_port_that_is_taken_is_left_to_the_os_to_choose() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert on_a_free_port(Gateway(port=taken.getsockname()[1])).port == 0
