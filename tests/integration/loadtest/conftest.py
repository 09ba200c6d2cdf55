from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A Ray that all drivers join, so that each starts at once."""
    started = ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield started.address_info["gcs_address"]
    ray.shutdown()
