"""A fleet as a RayService of KubeRay: the same application, with pods for machines."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import yaml

from cluster.addresses import is_loopback
from cluster.fleet import Fleet, Model, Pool
from cluster.gateway_nodes import has_gateway
from cluster.names import APPLICATION
from cluster.placement import actor_options
from cluster.vendors import VENDORS
from cluster.versions import RAY

FLEET_FOLDER, FLEET_FILE = "/etc/mixfleet", "fleet.yaml"
CHECKPOINTS, CACHE = "checkpoints", "/var/lib/mixfleet"
SECRETS = f"{CACHE}/mixfleet/secrets"
"""Where a fleet that names no secrets file looks for it; the pods' Secret is mounted there."""
USER, GROUP = 1000, 100
"""Of the images: see Containerfile."""
CPUS_PER_GPU, GIB_PER_GPU = 8, 64
"""Of a replica's pod: engines want few cores, and memory to load weights through."""
HEAD_CPUS, HEAD_GIB = 8, 32
AGENT_PORT = 52365
GATEWAY_LABEL = "mixfleet/gateway"
"""Of pods that have a gateway, with the fleet's name."""
RAY_PORTS = {"gcs-server": 6379, "dashboard": 8265, "client": 10001}


class NotForPods(ValueError):
    """A fleet that would not work in pods. The message says why and what to do."""


@dataclass(frozen=True)
class Images:
    """By what runs in the pod: the head, or a vendor's engines. All hold this project and Ray of one version."""

    registry: str
    tag: str = "latest"
    digests: Mapping[str, str] = field(default_factory=dict)
    """Kind -> `sha256:HEX`, which names an image for ever, where a tag may be moved."""

    def of(self, kind: str) -> str:
        name = f"{self.registry}/mixfleet-{kind}"
        return f"{name}@{self.digests[kind]}" if kind in self.digests else f"{name}:{self.tag}"


DIGEST = re.compile(r"(head|nvidia|amd)=(sha256:[0-9a-f]{64})")


def read_digests(words: Sequence[str]) -> dict[str, str]:
    """Kind -> digest, of words like `head=sha256:HEX`. Raises NotForPods."""
    found: dict[str, str] = {}
    for word in words:
        match = DIGEST.fullmatch(word)
        if match is None:
            raise NotForPods(f"'{word}' is no image's digest: write head, nvidia or amd, then =sha256:HEX")
        found[match[1]] = match[2]
    return found


def manifest(fleet: Fleet, images: Images, namespace: str, claim: str) -> str:
    """YAML of the fleet as a ConfigMap and of the RayService that serves it; where more than the head has a gateway,
    also of a Service over all pods that have one.

    `claim` is the PersistentVolumeClaim of the folder that all pods share. The pods read the fleet's secrets from the
    Secret `FLEET-secrets`, which is the operator's to make. Clients ask `FLEET-gateway`, or the head's
    service, named by KubeRay: `FLEET-head-svc`. Raises NotForPods.
    """
    _refuse_what_pods_cannot_have(fleet)
    objects = [_config_map(fleet, namespace), _service(fleet, images, namespace, claim)]
    if fleet.gateway.nodes != "head":
        objects.append(_gateway_service(fleet, namespace))
    return yaml.safe_dump_all(objects, sort_keys=False, width=120)


def _refuse_what_pods_cannot_have(fleet: Fleet) -> None:
    if is_loopback(fleet.gateway.host):
        raise NotForPods(f"gateway.host {fleet.gateway.host} is reached from its own pod alone: set 0.0.0.0")
    if not fleet.gateway.port:
        raise NotForPods("gateway.port 0 is chosen anew at each start, and a service needs one: set 8000")
    if files := [tenant.name for tenant in fleet.tenants if tenant.key_file]:
        raise NotForPods(f"the key files of tenants {', '.join(files)} are in no pod: give `key_sha256`")
    if fleet.engine_tls and not fleet.engine_tls.name:
        raise NotForPods("pods have other addresses at each start: give engine_tls a `name` that its certificate has")
    pools = [pool for model in fleet.models for pool in model.pools]
    tls = fleet.engine_tls.files if fleet.engine_tls else []
    secrets = [*filter(None, [fleet.secrets_file]), *tls, *(file for pool in pools for file in pool.env_files.values())]
    if outside := sorted({file for file in secrets if str(PurePosixPath(file).parent) != SECRETS}):
        raise NotForPods(
            f"{', '.join(outside)}: in no pod; put it into the Secret {secret_name(fleet)}, and name it {SECRETS}/KEY"
        )


def secret_name(fleet: Fleet) -> str:
    """The Kubernetes Secret with a key for each file of secrets; the fleet's own has the fleet's name."""
    return f"{_dns_label(fleet.name)}-secrets"


def _config_map(fleet: Fleet, namespace: str) -> dict[str, Any]:
    content = fleet.model_dump(mode="json", exclude_defaults=True)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(fleet, namespace),
        "data": {FLEET_FILE: yaml.safe_dump(content, sort_keys=False, width=120)},
    }


def _service(fleet: Fleet, images: Images, namespace: str, claim: str) -> dict[str, Any]:
    application = {
        "name": APPLICATION,
        "import_path": "deployments:app",
        "route_prefix": None,
        "args": {"fleet": f"{FLEET_FOLDER}/{FLEET_FILE}"},
    }
    # The gateway has its own listener: Serve's proxies would take its port.
    serve = {"proxy_location": "Disabled", "applications": [application]}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": _metadata(fleet, namespace),
        "spec": {
            "serveConfigV2": yaml.safe_dump(serve, sort_keys=False),
            "rayClusterConfig": {
                "rayVersion": RAY,
                "authOptions": {"mode": "token"},
                "enableInTreeAutoscaling": True,
                "headGroupSpec": _head(fleet, images, claim),
                "workerGroupSpecs": [
                    _workers(fleet, model, pool, images, claim) for model in fleet.models for pool in model.pools
                ],
            },
        },
    }


def _gateway_service(fleet: Fleet, namespace: str) -> dict[str, Any]:
    metadata = _metadata(fleet, namespace)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata | {"name": f"{metadata['name']}-gateway"},
        "spec": {
            "selector": _gateway_label(fleet),
            "ports": [{"name": "http", "port": fleet.gateway.port, "targetPort": fleet.gateway.port}],
        },
    }


def _gateway_label(fleet: Fleet) -> dict[str, str]:
    return {GATEWAY_LABEL: _dns_label(fleet.name)}


def _metadata(fleet: Fleet, namespace: str) -> dict[str, Any]:
    return {"name": _dns_label(fleet.name), "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "mixfleet"}}


def _head(fleet: Fleet, images: Images, claim: str) -> dict[str, Any]:
    ports = RAY_PORTS | {"serve": fleet.gateway.port}
    container = {
        "name": "ray-head",
        "image": images.of("head"),
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
        "resources": _sizes(HEAD_CPUS, HEAD_GIB),
    }
    # No probe of the gateway here: KubeRay starts the application once the head is ready. What it then asks of the port
    # named `serve`, the gateway answers (/-/healthz).
    return {
        "rayStartParams": {"dashboard-host": "0.0.0.0", "num-cpus": "0"},
        "template": _pod(fleet, container, claim, fleet.gateway.drain_timeout_s, has_gateway(fleet.gateway, {})),
    }


def _workers(fleet: Fleet, model: Model, pool: Pool, images: Images, claim: str) -> dict[str, Any]:
    """A pod for each replica: all GPUs of one lie on one node, and growth is one pod at a time."""
    vendor = VENDORS[pool.vendor]
    if vendor.pods is None:
        known = ", ".join(vendor.name for vendor in VENDORS.values() if vendor.pods)
        raise NotForPods(
            f"pool '{pool.name}' of '{model.name}': no pods are known for vendor '{pool.vendor}': set one of {known}"
        )
    wanted = actor_options(pool)
    gpus = int(wanted.get("num_gpus", 0))
    cpus = max(1, gpus) * CPUS_PER_GPU
    sizes = _sizes(cpus, max(1, gpus) * GIB_PER_GPU)
    if gpus:
        sizes["limits"][vendor.pods.resource] = sizes["requests"][vendor.pods.resource] = str(gpus)
    container: dict[str, Any] = {
        "name": "ray-worker",
        "image": images.of(vendor.name),
        "resources": sizes,
        "readinessProbe": {
            "httpGet": {"path": "/api/local_raylet_healthz", "port": AGENT_PORT},
            "failureThreshold": 10,
        },
    }
    labels = dict(wanted.get("label_selector", {}))
    is_chosen = has_gateway(fleet.gateway, labels)
    if is_chosen:
        container["ports"] = [{"name": "gateway", "containerPort": fleet.gateway.port}]
    drain_s = max(pool.drain_timeout_s, fleet.gateway.drain_timeout_s if is_chosen else 0)
    pod = _pod(fleet, container, claim, drain_s, is_chosen)
    pod["spec"]["nodeSelector"] = dict(vendor.pods.node_selector)
    pod["spec"]["tolerations"] = [{"key": vendor.pods.resource, "operator": "Exists", "effect": "NoSchedule"}]
    return {
        "groupName": _dns_label(f"{model.name}-{pool.name}"),
        "replicas": pool.min_replicas,
        "minReplicas": pool.min_replicas,
        "maxReplicas": pool.most_replicas,
        "rayStartParams": {},
        "labels": labels,
        "resources": {"CPU": str(cpus), "GPU": str(gpus)}
        | {name: str(count) for name, count in wanted.get("resources", {}).items()},
        "template": pod,
    }


def _pod(fleet: Fleet, container: dict[str, Any], claim: str, drain_s: float, is_chosen: bool) -> dict[str, Any]:
    mounts = [
        {"name": "fleet", "mountPath": FLEET_FOLDER, "readOnly": True},
        {"name": CHECKPOINTS, "mountPath": CACHE},
        {"name": "secrets", "mountPath": SECRETS, "readOnly": True},
        {"name": "shm", "mountPath": "/dev/shm"},
    ]
    environment = {"XDG_CACHE_HOME": CACHE, "RAY_worker_niceness": "0"}
    container |= {
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "volumeMounts": mounts,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    volumes = [
        {"name": "fleet", "configMap": {"name": _dns_label(fleet.name)}},
        {"name": CHECKPOINTS, "persistentVolumeClaim": {"claimName": claim}},
        # Readable by the group alone: the project refuses a file of secrets that everyone may read.
        {"name": "secrets", "secret": {"secretName": secret_name(fleet), "defaultMode": 0o440}},
        # Engines of several GPUs, and Ray's object store, want more than a container's 64 MiB.
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
    ]
    grace_s = int(drain_s) + 60
    return {
        "metadata": {"labels": _gateway_label(fleet) if is_chosen else {}},
        "spec": {
            "containers": [container],
            "volumes": volumes,
            "terminationGracePeriodSeconds": grace_s,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": GROUP,
                "fsGroup": GROUP,
                "fsGroupChangePolicy": "OnRootMismatch",
            },
        },
    }


def _dns_label(name: str) -> str:
    """A name as Kubernetes takes it. KubeRay appends to it: of the 63 characters that there may be it gets some."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")


def _sizes(cpus: int, gib: int) -> dict[str, dict[str, str]]:
    wanted = {"cpu": str(cpus), "memory": f"{gib}Gi"}
    return {"requests": dict(wanted), "limits": dict(wanted)}
