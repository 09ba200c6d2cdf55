"""What the fleet is: its models and their replicas."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from deployments.gateway.api.route import Access, OwnRoute
from deployments.gateway.request_context import RequestContext
from deployments.gateway.state import GatewayState
from deployments.replica_info import ReplicaInfo

INTERNAL = ("url", "cache_reports", "cache_snapshots")
"""Addresses inside the fleet, which tenants do not see."""


async def fleet(state: GatewayState, context: RequestContext) -> web.Response:
    tenant = getattr(context, "tenant", None)
    models = [
        {
            "name": served.model.name,
            "aliases": served.model.aliases,
            "task": served.model.task,
            "checkpoint": served.model.checkpoint,
            "revision": served.model.revision,
            "replicas": [_visible(info, tenant is None) for info in served.replica_infos.values()],
        }
        for served in (state.directory.models if tenant is None else state.directory.open_to(tenant))
    ]
    return web.json_response({"fleet": state.fleet.name, "mlperf": state.fleet.mlperf, "models": models})


def _visible(info: ReplicaInfo, operator: bool) -> dict[str, Any]:
    return {name: value for name, value in info.as_dict().items() if operator or name not in INTERNAL}


ROUTES = (OwnRoute("GET", "/fleet", Access.TENANT_OR_OPERATOR, "Models, pools and replicas", fleet),)
