"""Joins the Ray cluster that there is, or starts one on this machine, with Serve's own HTTP proxies off."""

from __future__ import annotations

import logging
from pathlib import Path

import ray

from cluster.ray_address import AUTO, LOCAL, RayAddressError, ray_address
from cluster.running_ray import cluster_to_join

NAMESPACE = "serve"
OBJECT_STORE_BYTES = 150_000_000
"""Requests do not pass through Ray: its object store carries only control messages and offline answers, while an
engine on this machine wants gigabytes."""


SYSTEM_CONFIG = {"worker_niceness": 0}
"""Ray runs its workers, and with them our engines and gateway, at niceness 15: behind all else on the machine."""


def join_or_start(address: str = "auto", log_to_driver: bool = False) -> bool:
    """Connects this process to Ray. Returns whether a new one was started for it.

    Ray's own variable RAY_ADDRESS takes precedence over `address`. Either is an address, `auto` (this user's cluster on
    this machine, else a new one) or `local` (a new one). A new one lives on this machine and ends with this process.
    Raises RayAddressError.
    """
    if ray.is_initialized():
        return False
    address = ray_address(address)
    if (found := cluster_to_join(address)) != LOCAL:
        try:
            ray.init(
                address=found,
                namespace=NAMESPACE,
                log_to_driver=log_to_driver,
                logging_level=_level(log_to_driver),
            )
            return False
        except (ConnectionError, ValueError) as error:
            if address != AUTO or isinstance(error, ValueError):
                raise RayAddressError(f"no Ray cluster can be joined at '{address}': {_reason(error)}") from error
    ray.init(
        address=LOCAL,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        _system_config=SYSTEM_CONFIG,
        namespace=NAMESPACE,
        log_to_driver=log_to_driver,
        logging_level=_level(log_to_driver),
    )
    return True


def is_own_ray() -> bool:
    """Whether this process has started the Ray cluster that it is connected to: no further node joins such a one."""
    # Ray has no public word for it (2.60). A client of `ray://` has no node of its own.
    node = ray._private.worker._global_node
    return node is not None and bool(node.is_head())


def _level(log_to_driver: bool) -> int:
    return logging.INFO if log_to_driver else logging.WARNING


def _reason(error: Exception) -> str:
    """One line. Ray looks for a token by itself only where it finds the cluster by itself."""
    if "Unauthenticated" in f"{error} {error.__cause__}":
        return "it wants a token; set RAY_AUTH_MODE=token, and keep the token in ~/.ray/auth_token"
    return str(error).strip().partition("\n")[0]


def connect(address: str = "auto", log_to_driver: bool = False) -> None:
    """As `join_or_start`, and starts Serve without proxies where it does not run yet."""
    from ray import serve  # most of what a load test of a running endpoint would import, and for nothing
    from ray.serve.config import ProxyLocation

    join_or_start(address, log_to_driver)
    serve.start(proxy_location=ProxyLocation.Disabled)


def logs_folder() -> Path:
    """Where this node's Ray keeps its logs, so that engine logs lie beside them and show in its dashboard."""
    # Ray has no public call for it (2.60).
    return Path(ray._private.worker._global_node.get_logs_dir_path())
