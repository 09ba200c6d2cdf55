"""RAY_ADDRESS, checked before Ray sees it: Ray retries a wrong address for more than a minute and ends the process."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

VARIABLE = "RAY_ADDRESS"
AUTO, LOCAL = "auto", "local"
CLIENT = "ray://"
PROBE_TIMEOUT_S = 3.0
"""For the Ray head to accept a connection, and again to answer on it."""

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What a gRPC client sends first, with an empty SETTINGS frame. A gRPC server, as Ray's GCS is one, answers alike."""
FRAME_HEADER_BYTES, SETTINGS = 9, 4

REMEDY = "write HOST:PORT of the Ray head (ray start prints it), 'auto' or 'local', or unset it"


class RayAddressError(RuntimeError):
    """RAY_ADDRESS leads to no Ray cluster. The message is one line that says what to write."""


def ray_address(default: str = AUTO, environment: Mapping[str, str] = os.environ) -> str:
    """The address of the Ray cluster to join: RAY_ADDRESS, or `default` where it is unset or empty.

    `auto` is the cluster that runs on this machine, `local` a new one. Raises RayAddressError within seconds.
    """
    address = environment.get(VARIABLE) or default
    if address in (AUTO, LOCAL) or address.startswith(CLIENT):
        return address
    if "://" in address:
        kind = "a dashboard URL" if address.startswith(("http://", "https://")) else "a URL"
        raise _error(address, kind)
    host, port = _host_and_port(address)
    if reason := _unreachable(host, port, tls=environment.get("RAY_USE_TLS", "0") != "0"):
        raise _error(address, reason)
    return address


def _error(address: str, reason: str) -> RayAddressError:
    return RayAddressError(f"{VARIABLE} is '{address}', {reason}; {REMEDY}")


def _host_and_port(address: str) -> tuple[str, int]:
    try:
        split = urlsplit(f"//{address}")
        host, port = split.hostname, split.port
    except ValueError:
        host, port = None, None
    if not host or not port or split.path or split.username:
        raise _error(address, "which is no HOST:PORT")
    return host, port


def _unreachable(host: str, port: int, tls: bool) -> str:
    """Why there is no Ray head at an address; '' where there is one, or at least a server that speaks TLS."""
    try:
        with socket.create_connection((host, port), PROBE_TIMEOUT_S) as connection:
            if tls:
                return ""
            connection.sendall(HTTP2_PREFACE)
            answer = connection.recv(FRAME_HEADER_BYTES)
    except TimeoutError:
        return "which does not answer"
    except OSError as error:
        return f"which cannot be reached ({error.strerror or error})"
    return (
        "" if len(answer) == FRAME_HEADER_BYTES and answer[3] == SETTINGS else "where something else than Ray listens"
    )
