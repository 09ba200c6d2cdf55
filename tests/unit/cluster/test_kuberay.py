from __future__ import annotations

import lzma
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from ray.serve.schema import ServeDeploySchema

from cluster.__main__ import main
from cluster.fleet import Gateway, Tenant
from cluster.fleet_secrets import secrets_path
from cluster.kuberay import SECRETS, Images, NotForPods, manifest
from cluster.loading import load_fleet, parse_fleet, presets
from cluster.vendors import ENGINE_KINDS, VENDOR_LABEL, VENDORS
from deployments.app import app

DEFINITION = Path(__file__).parent / "data" / "ray.io_rayservices.yaml.xz"
ON_PODS = [
    name
    for name in presets()
    if load_fleet(name).gateway.host == "0.0.0.0"  # those for clusters
]
IMAGES = Images("quay.io/you", "0.1.0")


@pytest.fixture(scope="module")
def schema() -> Validator:
    """KubeRay's own of a RayService's `spec`; itself checked once."""
    definition = yaml.load(lzma.decompress(DEFINITION.read_bytes()), Loader=yaml.CSafeLoader)
    version = next(version for version in definition["spec"]["versions"] if version["name"] == "v1")
    spec = _closed(version["schema"]["openAPIV3Schema"])["properties"]["spec"]
    kind = validator_for(spec)
    kind.check_schema(spec)
    return kind(spec)


def _closed(schema: Any) -> Any:
    """As the API server reads it with strict validation: a field that is not there is a mistake."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(closed.get("properties"), dict) and closed.get("type") == "object" and "apiVersion" not in schema:
        closed.setdefault("additionalProperties", bool(schema.get("x-kubernetes-preserve-unknown-fields")))
    return closed


def objects(fleet: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ConfigMap and the RayService."""
    config, service = yaml.safe_load_all(manifest(load_fleet(fleet), IMAGES, "models", "weights"))
    return config, service


def test_there_are_fleets_to_check() -> None:
    assert {"h200", "mi350x", "h200-mi350x", "qwen3-vl-b200", "whisper-l40s"} <= set(ON_PODS)


@pytest.mark.parametrize("fleet", ON_PODS)
def test_kuberays_schema_takes_every_preset(fleet: str, schema: Validator) -> None:
    _, service = objects(fleet)
    del service["metadata"]  # of every object alike: its schema is Kubernetes' own
    schema.validate(service["spec"])


def test_the_schema_refuses_what_is_not_there(schema: Validator) -> None:
    _, service = objects("h200")
    service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["invented"] = 1
    with pytest.raises(ValidationError, match="invented"):
        schema.validate(service["spec"])


@pytest.mark.parametrize("fleet", ON_PODS)
def test_a_pod_is_a_replica_on_its_vendors_nodes(fleet: str) -> None:
    groups = objects(fleet)[1]["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    pools = [pool for model in load_fleet(fleet).models for pool in model.pools]
    assert len({group["groupName"] for group in groups}) == len(groups) == len(pools)
    for group, pool in zip(groups, pools, strict=True):
        pods = VENDORS[pool.vendor].pods
        assert pods is not None
        spec = group["template"]["spec"]
        (container,) = spec["containers"]
        assert (group["replicas"], group["maxReplicas"]) == (pool.min_replicas, pool.most_replicas)
        assert group["labels"] == {VENDOR_LABEL: pool.vendor}
        assert group["resources"][pool.vendor] == str(pool.tensor_parallel)
        assert container["image"] == f"quay.io/you/mixfleet-{pool.vendor}:0.1.0"
        assert spec["nodeSelector"] == dict(pods.node_selector)
        assert spec["tolerations"] == [{"key": pods.resource, "operator": "Exists", "effect": "NoSchedule"}]
        gpus = container["resources"]["limits"].get(pods.resource)
        assert gpus == (str(pool.tensor_parallel) if ENGINE_KINDS[pool.engine].uses_gpu else None)
        assert container["resources"]["limits"] == container["resources"]["requests"]
        assert "readinessProbe" in container
        assert spec["terminationGracePeriodSeconds"] > pool.drain_timeout_s


@pytest.mark.parametrize("fleet", ON_PODS)
def test_what_is_mounted_is_the_fleet_and_is_what_serve_is_told(fleet: str) -> None:
    config, service = objects(fleet)
    assert parse_fleet(config["data"]["fleet.yaml"], "f") == load_fleet(fleet)
    serve = yaml.safe_load(service["spec"]["serveConfigV2"])
    ServeDeploySchema.model_validate(serve)
    (application,) = serve["applications"]
    assert serve["proxy_location"] == "Disabled"
    assert application["import_path"] == f"{app.__module__.partition('.')[0]}:{app.__name__}"
    head = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
    mounts = {mount["name"]: mount["mountPath"] for mount in head["containers"][0]["volumeMounts"]}
    assert application["args"]["fleet"] == f"{mounts['fleet']}/fleet.yaml"
    assert {"name": "fleet", "configMap": {"name": config["metadata"]["name"]}} in head["volumes"]
    assert {port["containerPort"] for port in head["containers"][0]["ports"]} >= {load_fleet(fleet).gateway.port, 6379}


@pytest.mark.parametrize(
    ("nodes", "groups"), [("all", {"head", "nvidia", "amd"}), ({VENDOR_LABEL: "amd"}, {"amd"}), ("head", set())]
)
def test_a_service_leads_to_every_pod_that_has_a_gateway(nodes: Any, groups: set[str], schema: Validator) -> None:
    fleet = load_fleet("h200-mi350x")
    fleet = fleet.model_copy(update={"gateway": fleet.gateway.model_copy(update={"nodes": nodes})})
    _, ray_service, *services = yaml.safe_load_all(manifest(fleet, IMAGES, "models", "weights"))
    schema.validate(ray_service["spec"])
    cluster = ray_service["spec"]["rayClusterConfig"]
    labels = {"head": cluster["headGroupSpec"]["template"]["metadata"]["labels"]}
    for group in cluster["workerGroupSpecs"]:
        labels[group["labels"][VENDOR_LABEL]] = group["template"]["metadata"]["labels"]
    assert len(services) == bool(groups)
    for service in services:
        assert (service["kind"], service["metadata"]["name"]) == ("Service", "h200-mi350x-gateway")
        assert service["spec"]["ports"][0]["targetPort"] == fleet.gateway.port
        chosen = service["spec"]["selector"].items()
        assert {group for group, of_pods in labels.items() if chosen <= of_pods.items()} == groups


def test_names_are_names_of_kubernetes() -> None:
    fleet = load_fleet("qwen3-vl-h200").model_copy(update={"name": "My_Fleet." + "x" * 60})
    config, service = yaml.safe_load_all(manifest(fleet, IMAGES, "models", "weights"))
    assert config["metadata"]["name"] == service["metadata"]["name"] == "my-fleet-" + "x" * 31
    (group,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert group["groupName"] == "qwen-qwen3-vl-235b-a22b-instruct-h200"


def test_the_head_is_ready_without_the_application_that_waits_for_it() -> None:
    _, service = objects("h200")
    (container,) = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"]
    assert not container.keys() & {"readinessProbe", "livenessProbe", "startupProbe"}
    assert {"name": "serve", "containerPort": 8000} in container["ports"]


def pods(fleet: str) -> list[dict[str, Any]]:
    """What KubeRay makes the head's and the workers' pods of."""
    cluster = objects(fleet)[1]["spec"]["rayClusterConfig"]
    return [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


@pytest.mark.parametrize("fleet", ON_PODS)
def test_pods_run_as_a_user_without_rights(fleet: str) -> None:
    for pod in pods(fleet):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] > 0
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            }


def test_the_images_user_is_the_pods() -> None:
    built = (Path(__file__).parents[3] / "Containerfile").read_text()
    (pod, *_) = pods("h200")
    user, group = pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]
    assert built.rstrip().endswith(f"USER {user}:{group}")


def test_pods_find_the_fleets_secrets_in_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fleet that names no file looks where the Secret is mounted, and not everyone may read it there."""
    for pod in pods("h200"):
        (container,) = pod["containers"]
        environment = {one["name"]: one["value"] for one in container["env"]}
        monkeypatch.setenv("XDG_CACHE_HOME", environment["XDG_CACHE_HOME"])
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        assert str(secrets_path("h200", None)) == f"{mounts['secrets']['mountPath']}/h200"
        (volume,) = [volume["secret"] for volume in pod["volumes"] if volume["name"] == "secrets"]
        assert volume == {"secretName": "h200-secrets", "defaultMode": 0o440}


def test_files_of_secrets_are_keys_of_the_secret() -> None:
    fleet = load_fleet("h200")
    (model,) = fleet.models
    named = [pool.model_copy(update={"env_files": {"HF_TOKEN": f"{SECRETS}/hf-token"}}) for pool in model.pools]
    changes = {"models": [model.model_copy(update={"pools": named})], "secrets_file": f"{SECRETS}/mine"}
    config, _ = yaml.safe_load_all(manifest(fleet.model_copy(update=changes), IMAGES, "models", "weights"))
    assert f"{SECRETS}/hf-token" in config["data"]["fleet.yaml"]


DIGEST = "sha256:" + "0123456789abcdef" * 4


def test_images_are_named_by_digest_where_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["kuberay", "h200", "--registry", "quay.io/you", "--tag", "1", "--digest", f"head={DIGEST}"]
    assert main(command) == 0
    _, service = yaml.safe_load_all(capsys.readouterr().out)
    cluster = service["spec"]["rayClusterConfig"]
    head, worker = cluster["headGroupSpec"], cluster["workerGroupSpecs"][0]
    assert head["template"]["spec"]["containers"][0]["image"] == f"quay.io/you/mixfleet-head@{DIGEST}"
    assert worker["template"]["spec"]["containers"][0]["image"] == "quay.io/you/mixfleet-nvidia:1"


@pytest.mark.parametrize("word", ["head=latest", f"cpu={DIGEST}", DIGEST, f"head={DIGEST}0"])
def test_what_is_no_digest_is_refused(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kuberay", "h200", "--registry", "r", "--digest", word]) == 2
    assert "is no image's digest" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gateway": Gateway()}, "set 0.0.0.0"),
        ({"gateway": Gateway(host="0.0.0.0", port=0)}, "set 8000"),
        ({"tenants": [Tenant(name="t", key_file="/etc/keys")]}, "tenants t are in no pod: give `key_sha256`"),
        (
            {"secrets_file": "/etc/secret"},
            f"/etc/secret: in no pod; put it into the Secret h200-secrets, and name it {SECRETS}/KEY",
        ),
        ({"models": load_fleet("embedded").models}, "no pods are known for vendor 'cpu': set one of nvidia, amd"),
    ],
)
def test_what_would_not_work_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(NotForPods, match=re.escape(words)):
        manifest(load_fleet("h200").model_copy(update=changes), IMAGES, "models", "weights")


def test_the_command_refuses_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kuberay", "embedded", "--registry", "r"]) == 2
    assert "set 0.0.0.0" in capsys.readouterr().err


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kuberay", "h200", "--registry", "quay.io/you", "--tag", "0.1.0", "--namespace", "models"]) == 0
    config, service = yaml.safe_load_all(capsys.readouterr().out)
    assert (config["kind"], service["kind"], service["metadata"]["namespace"]) == ("ConfigMap", "RayService", "models")
