"""Where the gateway of a fleet on Ray listens, and whether it knows a replica of every model."""

from __future__ import annotations

import contextlib
import time

from ray import serve

from cluster.http_proxies import open_url
from cluster.names import APPLICATION, GATEWAY

READY_S = 30.0
"""For a gateway to hear of replicas that run: the registry's news come every second."""
ADDRESS_TIMEOUT_S = 30.0
PROBE_TIMEOUT_S = 2.0
POLL_S = 0.2


def gateway_address() -> str:
    """As clients reach it. Raises TimeoutError where its actor does not answer."""
    handle = serve.get_deployment_handle(GATEWAY, APPLICATION)
    return str(handle.address.remote().result(timeout_s=ADDRESS_TIMEOUT_S))


def gets_ready(url: str) -> bool:
    """Waits until a gateway answers that it is ready; False where it does not within `READY_S`."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), open_url(f"{url}/ready", PROBE_TIMEOUT_S):
            return True
        time.sleep(POLL_S)
    return False
