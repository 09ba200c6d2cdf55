"""Two registries of plain data: vendors (the tag a replica is placed by) and engine kinds (what runs there)."""

from __future__ import annotations

from dataclasses import dataclass, field

VENDOR_LABEL = "gpu-vendor"
"""Ray node label that tells a node's GPU vendor. A custom resource of the vendor's name counts its GPUs beside it."""


@dataclass(frozen=True)
class Pods:
    """How Kubernetes finds the nodes of one vendor: the resource that counts its GPUs (and taints its nodes), and the
    labels that its operator gives them."""

    resource: str
    node_selector: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Vendor:
    """How Ray finds the nodes of one vendor."""

    name: str
    resource: str | None
    visible_devices: str | None
    """Variable by which Ray tells a process which GPUs are its own."""
    pods: Pods | None = None

    def labels(self) -> dict[str, str]:
        return {VENDOR_LABEL: self.name} if self.resource else {}


@dataclass(frozen=True)
class EngineKind:
    """What a replica starts: which backend drives it, on which vendors' nodes, with which environment and flags."""

    name: str
    backend: str
    vendors: frozenset[str]
    uses_gpu: bool = False
    loads_checkpoint: bool = True
    environment: dict[str, str] = field(default_factory=dict)
    removed_environment: frozenset[str] = frozenset()
    flags: dict[str, bool | int | str] = field(default_factory=dict)


VENDORS: dict[str, Vendor] = {
    vendor.name: vendor
    for vendor in (
        Vendor(
            "nvidia",
            resource="nvidia",
            visible_devices="CUDA_VISIBLE_DEVICES",
            pods=Pods("nvidia.com/gpu", (("nvidia.com/gpu.present", "true"),)),
        ),
        Vendor(
            "amd",
            resource="amd",
            visible_devices="HIP_VISIBLE_DEVICES",
            pods=Pods("amd.com/gpu", (("feature.node.kubernetes.io/amd-gpu", "true"),)),
        ),
        Vendor("cpu", resource=None, visible_devices=None),
    )
}

QUIET = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "false"}

ENGINE_KINDS: dict[str, EngineKind] = {
    kind.name: kind
    for kind in (
        # One engine is one process tree on one node: multiprocessing carries tensor parallelism without a second Ray.
        EngineKind(
            "cuda",
            backend="vllm",
            vendors=frozenset({"nvidia"}),
            uses_gpu=True,
            environment=QUIET,
            flags={"distributed-executor-backend": "mp"},
        ),
        # Ray sets HIP_VISIBLE_DEVICES; beside it ROCR_VISIBLE_DEVICES would number the same GPUs a second time.
        EngineKind(
            "rocm",
            backend="vllm",
            vendors=frozenset({"amd"}),
            uses_gpu=True,
            environment=QUIET,
            removed_environment=frozenset({"ROCR_VISIBLE_DEVICES"}),
            flags={"distributed-executor-backend": "mp"},
        ),
        EngineKind("cpu", backend="vllm", vendors=frozenset({"cpu", "nvidia", "amd"}), environment=QUIET),
        EngineKind("fake", backend="fake", vendors=frozenset({"cpu", "nvidia", "amd"}), loads_checkpoint=False),
    )
}
