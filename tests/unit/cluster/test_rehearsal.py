from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from cluster import fleet_commands, rehearsal
from cluster.rehearsal import ADDRESSES, local_yaml
from cluster.vendors import VENDOR_LABEL, VENDORS

ROOT = Path(__file__).parents[3]


@pytest.fixture
def real() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return config


@pytest.fixture
def local() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "cluster" / "local.yaml").read_text())
    return config


def test_the_file_is_what_the_command_makes() -> None:
    assert (ROOT / "cluster" / "local.yaml").read_text() == local_yaml()


@pytest.mark.parametrize("file", ["cluster.yaml", "cluster/local.yaml"])
def test_ray_takes_the_file(file: str) -> None:
    config = yaml.safe_load((ROOT / file).read_text())
    validate_config(config)
    validate_config(prepare_config(config))


def test_nothing_differs_but_provider_counts_addresses_and_images(real: dict[str, Any], local: dict[str, Any]) -> None:
    for config in (real, local):
        for name in ("provider", "auth", "docker", "max_workers"):
            del config[name]
        for kind in config["available_node_types"].values():
            for name in ("node_config", "docker", "worker_setup_commands", "max_workers"):
                kind.pop(name, None)
            del kind["resources"]["CPU"]
        # What an image has on a cloud, this environment has here.
        config["head_setup_commands"] = []
        config["file_mounts"].pop("~/mixfleet", None)
    for name in ("head_start_ray_commands", "worker_start_ray_commands"):
        local[name] = [_unaddressed(command) for command in local[name]]
    assert local == real


def _unaddressed(command: str) -> str:
    for before, after in ADDRESSES:
        command = command.replace(after, before)
    return command


@pytest.mark.parametrize("vendor", [vendor for vendor in VENDORS.values() if vendor.resource])
def test_each_vendor_has_nodes_with_its_label_and_its_count(vendor: Any, real: dict[str, Any]) -> None:
    kind = real["available_node_types"][vendor.name]
    assert kind["labels"][VENDOR_LABEL] == vendor.name
    assert kind["resources"][vendor.resource] == kind["resources"]["GPU"] > 0


def test_every_node_has_the_token_and_asks_for_it(real: dict[str, Any], local: dict[str, Any]) -> None:
    assert "~/.ray/auth_token" in local["file_mounts"]
    assert "--env RAY_AUTH_MODE=token" in real["docker"]["run_options"]
    assert local["provider"]["environment"]["RAY_AUTH_MODE"] == "token"


def test_the_real_one_is_left_as_it_is(real: dict[str, Any]) -> None:
    before = deepcopy(real)
    rehearsal.rehearsal(real)
    assert real == before


def test_the_command_local_says_that_the_wheel_holds_no_cluster_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cluster.rehearsal.REAL", tmp_path / "cluster.yaml")
    assert fleet_commands.local() == 2
    assert "does not exist; run this in a checkout" in capsys.readouterr().err
