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
from cluster.names import APPLICATION, GATEWAY
from deployments.app import build
from deployments.local_ray import connect, is_own_ray
from deployments.room import join_with_room

SERVE_TAKES_S = 60
"""To notice that something is to end, and that it has."""


@contextmanager
def serving(fleet: Fleet) -> Iterator[str]:
    """Starts `fleet`, yields its gateway's address once every replica is ready, and stops it at the end.

    The gateway hears of the replicas within a second or two from then on: its `/ready` tells.

    Raises FleetError where its secrets cannot be used; NoRoom where a replica fits on no node; RuntimeError, with the
    engine's last log lines, where one does not get ready, and where this Ray cluster serves another fleet already: that
    one is left alone.
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
        yield str(serve.get_deployment_handle(GATEWAY, APPLICATION).address.remote().result(timeout_s=30))
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
