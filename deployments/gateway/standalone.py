"""A gateway without Ray, in front of servers that run already: `mixfleet gateway`."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlsplit

from cyclopts import Parameter

from cluster.addresses import http_address, listening_host
from cluster.checkpoints import RECIPES, CheckpointError, resolve
from cluster.fleet import Fleet, Model, Pool, Task
from cluster.fleet_secrets import SecretsError, provide_secrets
from cluster.loading import FleetError, load_fleet
from cluster.open_fleet import open_to_all
from cluster.vendors import ENGINE_KINDS
from deployments.engine.backend import EngineSpec
from deployments.engine.engine_spec import engine_spec
from deployments.engine.rendering import renderer_of
from deployments.gateway.supervision.control_messages import Replicas
from deployments.gateway.supervision.listening_socket import listening_sockets
from deployments.gateway.supervision.secret_rotation import follow_secrets
from deployments.gateway.supervision.supervisor import Supervisor
from deployments.gateway.supervision.supervisor_process import cannot_listen
from deployments.replica_info import ReplicaInfo

REPLICA = re.compile(r"(?:(?P<model>[^=@]+)@)?(?P<pool>[A-Za-z0-9._-]+)=(?P<url>https?://\S+)")


def gateway(
    *,
    fleet: Annotated[str, Parameter(help="A fleet file, or the name of a preset.")],
    replica: Annotated[
        list[str], Parameter(help="A server of a pool, as POOL=URL, or MODEL@POOL=URL. Once for each server.")
    ],
) -> int:
    """0: ended after SIGTERM or SIGINT; 1: it could not serve; 2: a wrong option."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        loaded = load_fleet(fleet)
        replicas = static_replicas(loaded, replica)
    except (FleetError, CheckpointError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        provide_secrets(loaded.name, loaded.secrets_file)
        return asyncio.run(serve(loaded, replicas))
    except SecretsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {cannot_listen(loaded.model_dump(), error)}", file=sys.stderr)
        return 1


async def serve(fleet: Fleet, replicas: Sequence[ReplicaInfo]) -> int:
    """Serves until SIGTERM or SIGINT, then drains; a second signal ends it at once. Raises OSError."""
    settings = fleet.gateway
    host = listening_host(settings.host)
    sockets = listening_sockets(host, settings.port)
    supervisor = Supervisor(sockets, fleet.model_dump(mode="json"), "127.0.0.1", own_engines=False)
    supervisor.update(Replicas([each.as_dict() for each in replicas], {}))
    stop, hurry = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, lambda: (hurry if stop.is_set() else stop).set())
    keeping = asyncio.create_task(supervisor.keep())
    rotating = asyncio.create_task(follow_secrets(supervisor, asyncio.Lock()))
    try:
        await first(supervisor.until_serving(), stop.wait())
        if supervisor.failure:
            print(f"error: {supervisor.failure}", file=sys.stderr)
            return 1
        if not stop.is_set():
            if warning := open_to_all(fleet):
                print(warning, file=sys.stderr)
            print(f"listening on {http_address(host, supervisor.port)}", flush=True)
            await stop.wait()
    finally:
        await cancelled(rotating)
        await cancelled(keeping)
        if not supervisor.failure:
            await first(supervisor.drain(), hurry.wait())
        await supervisor.kill()
    return 0


async def first(*waits: Coroutine[Any, Any, Any]) -> None:
    """Returns with the first of them; the others are cancelled. Raises what that one raised."""
    tasks = [asyncio.create_task(each) for each in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            await cancelled(task)


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancels a task and waits for its end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def static_replicas(fleet: Fleet, options: Sequence[str]) -> list[ReplicaInfo]:
    """What the gateway takes each server to be. Raises ValueError for an option that fits no pool."""
    counts: dict[str, int] = {}
    replicas = []
    for option in options:
        found = REPLICA.fullmatch(option)
        if not found or not urlsplit(found["url"]).hostname:
            raise ValueError(f"--replica '{option}' is not POOL=URL; write for example a=http://127.0.0.1:8001")
        model, pool = _pool(fleet, found["model"], found["pool"], option)
        number = counts[pool.name] = counts.get(pool.name, 0) + 1
        replicas.append(_replica(fleet, model, pool, number, found["url"].rstrip("/").removesuffix("/v1")))
    return replicas


def _pool(fleet: Fleet, model: str | None, pool: str, option: str) -> tuple[Model, Pool]:
    pairs = [(m, p) for m in fleet.models for p in m.pools]
    fitting = [(m, p) for m, p in pairs if p.name == pool and (model is None or model in m.names)]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(f"{m.name}@{p.name}" for m, p in fitting or pairs)
    reason = "fits several pools" if fitting else "fits no pool"
    raise ValueError(f"--replica '{option}' {reason}; write one of {known}, then =URL")


def _replica(fleet: Fleet, model: Model, pool: Pool, number: int, url: str) -> ReplicaInfo:
    spec = engine_spec(fleet, model, pool)
    if model.checkpoint in RECIPES and ENGINE_KINDS[pool.engine].loads_checkpoint:
        spec = replace(spec, checkpoint=str(resolve(model.checkpoint, model.revision, fleet.cache_folder).path))
    facts: dict[str, Any] = {"block_size": None, "kv_blocks": None, "max_model_len": None}
    return ReplicaInfo(
        replica=f"{model.name}@{pool.name}#{number}",
        incarnation=url,
        url=url,
        model=model.name,
        aliases=tuple(model.aliases),
        task=model.task.value,
        pool=pool.name,
        vendor=pool.vendor,
        engine=pool.engine,
        engine_version="",
        accelerator=pool.accelerator,
        tensor_parallel=pool.tensor_parallel,
        slots=pool.slots,
        checkpoint=spec.checkpoint,
        revision=model.revision,
        caches=not fleet.mlperf,
        cache_reports=None,
        cache_snapshots=None,
        renderer=_renderer(spec),
        **facts,
    )


def _renderer(spec: EngineSpec) -> str:
    """Without the checkpoint's tokenizer on this machine, prompts are told apart by their text."""
    if spec.task == Task.TRANSCRIPTION:
        return ""
    return "fake" if not ENGINE_KINDS[spec.engine].loads_checkpoint else renderer_of(spec) or "text"
