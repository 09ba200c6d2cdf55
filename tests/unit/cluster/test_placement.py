from __future__ import annotations

from typing import Any

import pytest

from cluster.fleet import Pool
from cluster.loading import load_fleet, presets
from cluster.placement import actor_options
from cluster.vendors import ENGINE_KINDS, VENDORS

NVIDIA = {"resources": {"nvidia": 4}, "label_selector": {"gpu-vendor": "nvidia"}}
AMD = {"resources": {"amd": 4}, "label_selector": {"gpu-vendor": "amd"}}
EXPECTED: dict[tuple[str, str], dict[str, Any]] = {
    ("nvidia", "cuda"): {"num_cpus": 2, "num_gpus": 4, **NVIDIA},
    ("amd", "rocm"): {"num_cpus": 2, "num_gpus": 4, **AMD},
    ("nvidia", "cpu"): {"num_cpus": 2, **NVIDIA},
    ("amd", "cpu"): {"num_cpus": 2, **AMD},
    ("cpu", "cpu"): {"num_cpus": 2},
    ("nvidia", "fake"): {"num_cpus": 2, **NVIDIA},
    ("amd", "fake"): {"num_cpus": 2, **AMD},
    ("cpu", "fake"): {"num_cpus": 2},
}


def test_the_table_below_is_whole() -> None:
    assert set(EXPECTED) == {(vendor, kind.name) for kind in ENGINE_KINDS.values() for vendor in kind.vendors}


@pytest.mark.parametrize(("vendor", "engine"), EXPECTED)
def test_what_a_replica_asks_of_ray(vendor: str, engine: str) -> None:
    pool = Pool(name="p", vendor=vendor, engine=engine, tensor_parallel=4, cpus_per_replica=2)
    assert actor_options(pool) == EXPECTED[vendor, engine]


@pytest.mark.parametrize("preset", presets())
def test_every_preset_can_be_placed(preset: str) -> None:
    for model in load_fleet(preset).models:
        for pool in model.pools:
            options = actor_options(pool)
            gpus = pool.tensor_parallel if ENGINE_KINDS[pool.engine].uses_gpu else 0
            assert options.get("num_gpus", 0) == gpus
            tagged = VENDORS[pool.vendor].resource is not None
            assert ("label_selector" in options) is ("resources" in options) is tagged
