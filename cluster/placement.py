"""(model, pool) -> what Ray must reserve for one replica, and on which nodes."""

from __future__ import annotations

from typing import Any

from cluster.fleet import Pool
from cluster.vendors import ENGINE_KINDS, VENDORS


def actor_options(pool: Pool) -> dict[str, Any]:
    """`ray_actor_options` of one replica of `pool`.

    One actor asks for all GPUs of its tensor-parallel group, so that they lie on one node and the engine process
    inherits their visible-devices variable. The vendor's label chooses the node; its custom resource counts GPUs on
    clusters whose nodes cannot detect them.
    """
    vendor, kind = VENDORS[pool.vendor], ENGINE_KINDS[pool.engine]
    options: dict[str, Any] = {"num_cpus": pool.cpus_per_replica}
    if kind.uses_gpu:
        options["num_gpus"] = pool.tensor_parallel
    if vendor.resource:
        options["resources"] = {vendor.resource: pool.tensor_parallel}
    if labels := vendor.labels():
        options["label_selector"] = labels
    return options
