"""What a replica of a pool starts."""

from __future__ import annotations

from cluster.fleet import Fleet, Model, Pool
from cluster.fleet_secrets import secrets_path
from cluster.vendors import ENGINE_KINDS
from deployments.engine.backend import EngineSpec


def engine_spec(fleet: Fleet, model: Model, pool: Pool) -> EngineSpec:
    """What a replica of this pool starts. The checkpoint is still as the fleet file names it."""
    kind = ENGINE_KINDS[pool.engine]
    return EngineSpec(
        names=tuple(model.names),
        task=model.task.value,
        checkpoint=model.checkpoint,
        revision=model.revision,
        engine=pool.engine,
        backend=kind.backend,
        slots=pool.slots,
        tensor_parallel=pool.tensor_parallel,
        caches=not fleet.mlperf,
        tool_parser=model.tool_parser,
        reasoning_parser=model.reasoning_parser,
        flags={**kind.flags, **pool.flags},
        environment={**kind.environment, **pool.env},
        environment_files=pool.env_files,
        removed_environment=kind.removed_environment,
        fake=pool.fake.model_dump(),
        tls=fleet.engine_tls,
        secrets_file=fleet.secrets_file or str(secrets_path(fleet.name, None)),
    )
