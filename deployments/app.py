"""A fleet as a Serve application: the registry, one deployment per (model, pool), and the gateway in front."""

from __future__ import annotations

from typing import Any

import ray
from ray import serve
from ray.serve import Application

from cluster.fleet import Fleet, Model, Pool, deployment_name
from cluster.loading import DEFAULT_FLEET, load_fleet
from cluster.names import GATEWAY, REGISTRY
from cluster.placement import actor_options
from deployments.engine.replica import EngineReplica, engine_spec
from deployments.engine.supervisor import Seat
from deployments.gateway.deployment import GatewayReplica
from deployments.local_ray import connect
from deployments.registry import RegistryReplica
from deployments.room import join_with_room
from deployments.routing import make_policy

UNLIMITED = 1_000_000
"""Requests do not pass through Serve: its limits would count only control calls, of which a watch stays open."""

ON_HEAD = {"num_cpus": 0, "resources": {"node:__internal_head__": 0.001}}
"""The address of the gateway is the head's, whatever else comes and goes; so the registry is there too."""
NO_CALL_LOG = {"enable_access_log": False}
"""Serve would log a line for every heartbeat."""


def app(args: dict[str, str]) -> Application:
    """What `serve run deployments:app [fleet=FILE_OR_PRESET]` builds and runs.

    Starts or joins Ray first, with Serve's own HTTP proxies off: the gateway has its own listener, on the same port.
    """
    unknown = set(args) - {"fleet"}
    if unknown:
        raise ValueError(
            f"unknown argument {', '.join(sorted(unknown))}: deployments:app takes only fleet=FILE_OR_PRESET"
        )
    fleet = load_fleet(args.get("fleet", DEFAULT_FLEET))
    application = build(fleet)
    if not ray.is_initialized():  # else Serve itself builds it, as for Kubernetes: nodes take as long as they take
        join_with_room(fleet, log_to_driver=True)
    connect(log_to_driver=True)
    return application


def build(fleet: Fleet) -> Application:
    """The application of a fleet. Touches no cluster."""
    make_policy(fleet.gateway.policy)
    registry = serve.deployment(RegistryReplica).options(
        name=REGISTRY,
        ray_actor_options=ON_HEAD,
        max_ongoing_requests=UNLIMITED,
        logging_config=NO_CALL_LOG,
        health_check_period_s=2,
    )
    handle = registry.bind()
    engines = [_engine(fleet, model, pool, handle) for model in fleet.models for pool in model.pools]
    gateway = serve.deployment(GatewayReplica).options(
        name=GATEWAY,
        num_replicas=fleet.gateway.processes,
        ray_actor_options=ON_HEAD,
        max_ongoing_requests=UNLIMITED,
        logging_config=NO_CALL_LOG,
        graceful_shutdown_timeout_s=fleet.gateway.drain_timeout_s + 30,
    )
    return gateway.bind(fleet.model_dump(mode="json"), handle, engines)


def _engine(fleet: Fleet, model: Model, pool: Pool, registry: Any) -> Application:
    seat = Seat(
        replica="",
        model=model.name,
        pool=pool.name,
        vendor=pool.vendor,
        accelerator=pool.accelerator,
        drain_timeout_s=pool.drain_timeout_s,
        readiness_timeout_s=pool.readiness_timeout_s,
    )
    deployment = serve.deployment(EngineReplica).options(
        name=deployment_name(model, pool),
        num_replicas=pool.min_replicas,
        ray_actor_options=actor_options(pool),
        max_ongoing_requests=UNLIMITED,
        logging_config=NO_CALL_LOG,
        health_check_period_s=5,
        health_check_timeout_s=30,
        graceful_shutdown_wait_loop_s=0.5,
        graceful_shutdown_timeout_s=pool.drain_timeout_s + 60,
        max_constructor_retry_count=2,
    )
    return deployment.bind(engine_spec(fleet, model, pool), seat, fleet.cache_folder, registry)
