"""A fleet as a Serve application: the registry, one deployment per (model, pool), and the gateway in front."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import ray
from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from cluster.fleet import Fleet, Model, Pool, deployment_name
from cluster.fleet_secrets import provide_secrets
from cluster.gateway_nodes import HEAD_RESOURCE, placement
from cluster.loading import DEFAULT_FLEET, load_fleet
from cluster.names import GATEWAY, REGISTRY
from cluster.open_fleet import open_to_all
from cluster.placement import actor_options
from cluster.ray_address import RayAddressError
from deployments.autoscaling import serve_policy
from deployments.engine.engine_spec import engine_spec
from deployments.engine.replica import EngineReplica
from deployments.engine.supervisor import Seat
from deployments.gateway.node import GatewayNode
from deployments.local_ray import connect, is_own_ray
from deployments.ready_notice import start_ready_notice
from deployments.registry.service import RegistryService
from deployments.room import join_with_room
from deployments.routing import make_policy

UNLIMITED = 1_000_000
"""Requests do not pass through Serve: its limits would count only a few control calls."""

ON_HEAD = {"num_cpus": 0, "resources": {HEAD_RESOURCE: 0.001}}
"""Where the registry is: whatever else comes and goes, without the head there is no cluster."""
MOST_NODES = 10_000
"""Of gateways, where the cluster decides."""
REPORT_S = 1.0
"""Between two words of the registry to Serve's controller on how large pools should be."""
NO_CALL_LOG = {"enable_access_log": False}
"""Serve would log a line for every call."""


def app(args: dict[str, str]) -> Application:
    """What `serve run deployments:app [fleet=FILE_OR_PRESET]` builds and runs.

    Starts or joins Ray first, with Serve's own HTTP proxies off: the gateway has its own listener, on the same port.
    """
    try:
        fleet = _fleet(args)
    except ValueError as error:
        if ray.is_initialized():
            raise  # Serve itself builds it, and shows why that failed
        print(error, file=sys.stderr)
        raise SystemExit(2) from None  # `serve run` would print a traceback
    if ray.is_initialized():  # Serve itself builds it, as for Kubernetes: nodes take as long as they take
        connect(log_to_driver=True)
        if warning := open_to_all(fleet):
            print(warning, file=sys.stderr)
        return build(fleet)
    try:
        join_with_room(fleet, log_to_driver=True)
        connect(log_to_driver=True)
    except RayAddressError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    start_ready_notice(fleet)
    return build(fleet, is_own_ray())


def _fleet(args: dict[str, str]) -> Fleet:
    """Raises ValueError: FleetError or SecretsError where the file or its secrets cannot be used."""
    if unknown := set(args) - {"fleet"}:
        names = ", ".join(sorted(unknown))
        raise ValueError(f"unknown argument {names}: deployments:app takes only fleet=FILE_OR_PRESET")
    fleet = load_fleet(args.get("fleet", DEFAULT_FLEET))
    make_policy(fleet.gateway.policy)  # an unknown one is known before anything is waited for
    provide_secrets(fleet.name, fleet.secrets_file)
    return fleet


def build(fleet: Fleet, stays_one_node: bool = False) -> Application:
    """The application of a fleet, on a cluster that others may join or on one that stays one node. Touches none."""
    make_policy(fleet.gateway.policy)
    registry = serve.deployment(RegistryService).options(
        name=REGISTRY,
        ray_actor_options=ON_HEAD,
        autoscaling_config=_scaled(serve_policy.note, 1, 1),
        max_ongoing_requests=UNLIMITED,
        logging_config=NO_CALL_LOG,
        health_check_period_s=2,
        health_check_timeout_s=10,
    )
    engines = [_engine(fleet, model, pool, stays_one_node) for model in fleet.models for pool in model.pools]
    gateway = serve.deployment(GatewayNode).options(
        name=GATEWAY,
        **_gateway_nodes(fleet),
        max_ongoing_requests=UNLIMITED,
        logging_config=NO_CALL_LOG,
        graceful_shutdown_timeout_s=fleet.gateway.drain_timeout_s + 30,
    )
    content = fleet.model_dump(mode="json")
    return gateway.bind(content, registry.bind(content), engines, stays_one_node)


def _gateway_nodes(fleet: Fleet) -> dict[str, Any]:
    """An actor on each node that is to have a gateway. The registry counts them, as it sizes pools."""
    placed = {"ray_actor_options": placement(fleet.gateway)}
    if fleet.gateway.nodes == "head":
        return placed
    return placed | {"max_replicas_per_node": 1, "autoscaling_config": _scaled(serve_policy.follow, 1, MOST_NODES)}


def _scaled(policy: Callable[..., Any], least: int, most: int) -> AutoscalingConfig:
    """Serve follows at once: what is noise, and how long to wait, the scaler has decided."""
    with warnings.catch_warnings():
        # The variables that are to replace it hold for all applications of a cluster, and 10 s are long.
        warnings.filterwarnings("ignore", "The `metrics_interval_s` field", DeprecationWarning)
        return AutoscalingConfig(
            min_replicas=least,
            max_replicas=most,
            metrics_interval_s=REPORT_S,
            look_back_period_s=2 * REPORT_S,
            upscale_delay_s=0,
            downscale_delay_s=0,
            downscale_to_zero_delay_s=0,
            policy=AutoscalingPolicy(policy_function=policy),
        )


def _engine(fleet: Fleet, model: Model, pool: Pool, stays_one_node: bool) -> Application:
    seat = Seat(
        replica="",
        model=model.name,
        pool=pool.name,
        vendor=pool.vendor,
        accelerator=pool.accelerator,
        drain_timeout_s=pool.drain_timeout_s,
        readiness_timeout_s=pool.readiness_timeout_s,
        fleet=fleet.name,
        secrets_file=fleet.secrets_file,
    )
    size: dict[str, Any] = {"num_replicas": pool.min_replicas}
    if pool.grows:
        size = {"autoscaling_config": _scaled(serve_policy.follow, pool.min_replicas, pool.most_replicas)}
    deployment = serve.deployment(EngineReplica).options(
        name=deployment_name(model, pool),
        **size,
        ray_actor_options=actor_options(pool),
        max_ongoing_requests=UNLIMITED,
        logging_config=NO_CALL_LOG,
        health_check_period_s=5,
        health_check_timeout_s=30,
        graceful_shutdown_wait_loop_s=0.5,
        graceful_shutdown_timeout_s=pool.drain_timeout_s + 60,
        max_constructor_retry_count=2,
    )
    return deployment.bind(engine_spec(fleet, model, pool), seat, fleet.cache_folder, stays_one_node)
