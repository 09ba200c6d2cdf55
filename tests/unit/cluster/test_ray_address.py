from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cluster import ray_address as module
from cluster.ray_address import FRAME_HEADER_BYTES, SETTINGS, RayAddressError, ray_address
from cluster.status import status
from deployments.local_ray import join_or_start
from loadtest.command import outcome


@contextmanager
def server(answer: bytes | None) -> Iterator[str]:
    """A server that answers each connection so, or never."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(100)
                if answer is None:
                    time.sleep(1)
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join(2)


def address(value: str, **more: str) -> str:
    return ray_address("auto", {"RAY_ADDRESS": value, **more})


def test_what_ray_has_words_for_is_taken_as_it_is() -> None:
    assert ray_address("auto", {}) == "auto"
    assert address("") == "auto"
    assert [address(value) for value in ("auto", "local", "ray://head:10001")] == ["auto", "local", "ray://head:10001"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("http://127.0.0.1:8265", "a dashboard URL"),
        ("grpc://127.0.0.1:6379", "a URL"),
        ("head", "no HOST:PORT"),
        ("head:port", "no HOST:PORT"),
        (":6379", "no HOST:PORT"),
        ("127.0.0.1:6379/path", "no HOST:PORT"),
        ("127.0.0.1:1", "cannot be reached (Connection refused)"),
    ],
)
def test_a_wrong_address_is_refused_with_what_to_write(value: str, reason: str) -> None:
    with pytest.raises(RayAddressError) as refused:
        address(value)
    message = str(refused.value)
    assert message.startswith(f"RAY_ADDRESS is '{value}', ")
    assert reason in message
    assert message.endswith("write HOST:PORT of the Ray head (ray start prints it), 'auto' or 'local', or unset it")
    assert "\n" not in message


def test_a_server_that_is_no_ray_head_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE_TIMEOUT_S", 0.2)
    with server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as found, pytest.raises(RayAddressError, match="something else"):
        address(found)
    with server(None) as found, pytest.raises(RayAddressError, match="does not answer"):
        address(found)


def test_a_grpc_server_and_one_with_tls_are_left_to_ray() -> None:
    settings = bytes([0, 0, 0, SETTINGS, *[0] * (FRAME_HEADER_BYTES - 4)])
    with server(settings) as found:
        assert address(found) == found
    with server(b"") as found:
        assert address(found, RAY_USE_TLS="1") == found


def test_commands_end_with_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    assert status() == 2
    assert outcome(lambda: not join_or_start()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.count("a dashboard URL") for line in printed.err.splitlines()] == [1, 1]
