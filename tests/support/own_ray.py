"""A fleet on a Ray of this process, for benches: tests share theirs by fixtures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from cluster.fleet import Fleet
from deployments.run import serving
from tests.support.session_home import MARKER


@contextmanager
def serving_on_own_ray(fleet: Fleet, name: str) -> Iterator[str]:
    """The address of its gateway, once that is ready."""
    os.environ[MARKER] = f"{name}-{os.getpid()}"  # by which the processes of this run are told from others'
    ray.init(address="local", num_cpus=4, namespace=name, include_dashboard=False, object_store_memory=100_000_000)
    try:
        with serving(fleet) as url:
            yield url
    finally:
        ray.shutdown()
