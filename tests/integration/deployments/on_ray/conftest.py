from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray

from deployments.local_ray import NAMESPACE
from tests.support.process_table import descendants, gone


@pytest.fixture(scope="package")
def small_ray() -> Iterator[set[int]]:
    """One Ray for all fleets of this folder, one after the other.

    It is as small as a laptop: registry, gateway, engines and Serve itself must all find room on two CPUs.
    Its value: the processes that other tests of this worker had left running before it.
    """
    before = descendants()
    ray.init(address="local", num_cpus=2, namespace=NAMESPACE, include_dashboard=False, object_store_memory=100_000_000)
    yield before
    ray.shutdown()
    assert gone(descendants() - before, 20), "a process outlives Ray"
