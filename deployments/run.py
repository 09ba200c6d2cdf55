"""Runs a fleet for as long as a `with` block lasts."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ray import serve

from cluster.fleet import Fleet
from cluster.fleet_secrets import SecretsError, provide_secrets
from cluster.loading import FleetError
from cluster.names import APPLICATION
from deployments.app import build
from deployments.gateway_endpoint import READY_S, gateway_address, gets_ready
from deployments.local_ray import connect, is_own_ray
from deployments.room import join_with_room

SERVE_TAKES_S = 60
"""To notice that something is to end, and that it has."""


@contextmanager
def serving(fleet: Fleet) -> Iterator[str]:
    """Starts `fleet`, yields its gateway's address once the gateway knows every replica as ready, and stops it at the
    end.

    Raises FleetError where its secrets cannot be used; NoRoom where a replica fits on no node; RuntimeError, with the
    engine's last log lines, where one does not get ready, and where this Ray cluster serves another fleet already: that
    one is left alone; also where the gateway cannot be reached from here.
    """
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    try:
        provide_secrets(fleet.name, fleet.secrets_file)
    except SecretsError as error:
        raise FleetError(str(error)) from None
    join_with_room(fleet)
    connect()
    if APPLICATION in serve.status().applications:
        raise RuntimeError(
            f"this Ray cluster already serves an application named '{APPLICATION}'; "
            "use that one by its address, or stop it first"
        )
    try:
        try:
            serve.run(build(fleet, is_own_ray()), name=APPLICATION, route_prefix=None)
        except RuntimeError as error:
            raise RuntimeError(f"fleet '{fleet.name}' did not start: {error}{_why()}") from None
        url = gateway_address()
        if not gets_ready(url):
            raise RuntimeError(
                f"fleet '{fleet.name}' runs, but its gateway {url} does not say within {READY_S:.0f} s that it is "
                "ready; can this machine reach it?"
            )
        yield url
    finally:
        _end(fleet)


def _end(fleet: Fleet) -> None:
    """Stops the application, whose parts may take as long to drain as the fleet allows."""
    drains = [pool.drain_timeout_s for model in fleet.models for pool in model.pools]
    deadline = time.monotonic() + max(fleet.gateway.drain_timeout_s, *drains) + SERVE_TAKES_S
    serve.delete(APPLICATION, _blocking=False)
    while APPLICATION in serve.status().applications and time.monotonic() < deadline:
        time.sleep(0.2)
    if not serve.status().applications:
        serve.shutdown()


def _why() -> str:
    """What the unhealthy deployments say of themselves: Serve's own error names them only."""
    application = serve.status().applications.get(APPLICATION)
    deployments = application.deployments.items() if application else ()
    return "".join(f"\n{name}: {state.message}" for name, state in deployments if state.status != "HEALTHY")
