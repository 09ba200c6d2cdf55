from __future__ import annotations

from pathlib import Path

import pytest
import ray

from cluster.fleet import Gateway
from cluster.loading import load_fleet
from deployments import app as module
from deployments.app import app, build

BAD = "name: f\ngateway: {nods: all}\nmodels: []\n"


def test_a_fleet_that_cannot_be_served_ends_serve_run_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(BAD)
    for args, message in (
        ({"fleet": str(file)}, f"{file}:2: gateway.nods: unknown key"),
        ({"fleet": "no-preset"}, "no fleet 'no-preset'"),
        ({"flet": "h200"}, "unknown argument flet: deployments:app takes only fleet=FILE_OR_PRESET"),
    ):
        with pytest.raises(SystemExit) as ended:
            app(args)
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith(message)


def test_serve_itself_gets_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    with pytest.raises(ValueError, match="no fleet 'no-preset'"):
        app({"fleet": "no-preset"})


@pytest.mark.parametrize(
    ("nodes", "labels", "grows"), [("head", None, False), ("all", None, True), ({"role": "g"}, {"role": "g"}, True)]
)
def test_a_gateway_actor_is_placed_as_the_fleet_file_says(
    nodes: object, labels: dict[str, str] | None, grows: bool
) -> None:
    fleet = load_fleet("embedded").model_copy(update={"gateway": Gateway.model_validate({"nodes": nodes})})
    deployment = build(fleet)._bound_deployment
    assert deployment.ray_actor_options.get("label_selector") == labels
    assert (deployment._deployment_config.autoscaling_config is not None) == grows
    assert deployment._replica_config.max_replicas_per_node == (1 if grows else None)
    assert module.ON_HEAD["num_cpus"] == 0
