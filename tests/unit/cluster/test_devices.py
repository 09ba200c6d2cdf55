from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.devices import DeviceError, require_devices


@pytest.mark.parametrize(
    ("vendor", "engine", "environment"),
    [
        ("nvidia", "cuda", {"CUDA_VISIBLE_DEVICES": "0,3"}),
        ("nvidia", "cuda", {"CUDA_VISIBLE_DEVICES": "GPU-1f,GPU-2c"}),
        ("amd", "rocm", {"HIP_VISIBLE_DEVICES": "4,5", "CUDA_VISIBLE_DEVICES": ""}),
        ("amd", "cpu", {}),
        ("nvidia", "fake", {}),
        ("cpu", "cpu", {"CUDA_VISIBLE_DEVICES": ""}),
    ],
)
def test_a_replica_with_its_devices(vendor: str, engine: str, environment: dict[str, str]) -> None:
    require_devices(vendor, engine, 2, environment)


@pytest.mark.parametrize(
    ("vendor", "engine", "environment", "variable"),
    [
        ("nvidia", "cuda", {}, "CUDA_VISIBLE_DEVICES"),
        ("nvidia", "cuda", {"CUDA_VISIBLE_DEVICES": "0"}, "CUDA_VISIBLE_DEVICES"),
        ("amd", "rocm", {"CUDA_VISIBLE_DEVICES": "0,1"}, "HIP_VISIBLE_DEVICES"),
        ("amd", "rocm", {"HIP_VISIBLE_DEVICES": ""}, "HIP_VISIBLE_DEVICES"),
    ],
)
def test_a_replica_without(vendor: str, engine: str, environment: dict[str, str], variable: str) -> None:
    with pytest.raises(DeviceError, match=variable):
        require_devices(vendor, engine, 2, environment)


@given(st.integers(1, 16), st.integers(0, 16))
def test_exactly_as_many_as_asked_for(wanted: int, shown: int) -> None:
    environment = {"HIP_VISIBLE_DEVICES": ",".join(map(str, range(shown)))}
    if wanted == shown:
        require_devices("amd", "rocm", wanted, environment)
    else:
        with pytest.raises(DeviceError):
            require_devices("amd", "rocm", wanted, environment)
