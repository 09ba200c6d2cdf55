"""Joins the Ray cluster that there is, or starts one on this machine, with Serve's own HTTP proxies off."""

from __future__ import annotations

from pathlib import Path

import ray
from ray import serve
from ray.serve.config import ProxyLocation

NAMESPACE = "serve"
OBJECT_STORE_BYTES = 150_000_000
"""Requests do not pass through Ray: its object store carries only control messages and offline answers, while an
engine on this machine wants gigabytes."""


def join_or_start(log_to_driver: bool = False) -> None:
    """Connects this process to Ray: to a running cluster, else to one it starts here and that ends with it."""
    if ray.is_initialized():
        return
    try:
        ray.init(address="auto", namespace=NAMESPACE, log_to_driver=log_to_driver)
    except ConnectionError:
        ray.init(
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            namespace=NAMESPACE,
            log_to_driver=log_to_driver,
        )


def connect(log_to_driver: bool = False) -> None:
    """As `join_or_start`, and starts Serve without proxies where it does not run yet."""
    join_or_start(log_to_driver)
    serve.start(proxy_location=ProxyLocation.Disabled)


def logs_folder() -> Path:
    """Where this node's Ray keeps its logs, so that engine logs lie beside them and show in its dashboard."""
    # Ray has no public call for it (2.60).
    return Path(ray._private.worker._global_node.get_logs_dir_path())
