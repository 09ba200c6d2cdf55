"""What the fleet is: its models and their replicas."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter

from deployments.gateway.api.openapi.operation import JSON, Operation
from deployments.gateway.api.openapi.schemas import BOOLEAN, STRING, TEXT_OR_NULL, array, record
from deployments.gateway.api.route import Access, OwnRoute
from deployments.gateway.request.context import RequestContext
from deployments.gateway.state import GatewayState
from deployments.replica_info import ReplicaInfo

INTERNAL = ("incarnation", "url", "cache_reports", "cache_snapshots")
"""Addresses inside the fleet, which tenants do not see. A server that runs already is told apart from its successor by
its address."""


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
    """Tenants see of a checkpoint's path the last part, which tells its version, and nothing of its machine."""
    if operator:
        return info.as_dict()
    visible = {name: value for name, value in info.as_dict().items() if name not in INTERNAL}
    return visible | {"checkpoint": PurePath(info.checkpoint).name}


def _replica_schema() -> dict[str, Any]:
    """The fields of a replica's info, all of them there for operators."""
    schema = TypeAdapter(ReplicaInfo).json_schema(mode="serialization")
    return {**schema, "required": [name for name in schema["properties"] if name not in INTERNAL]}


MODEL = record(
    {
        "name": STRING,
        "aliases": array(STRING),
        "task": STRING,
        "checkpoint": STRING,
        "revision": TEXT_OR_NULL,
        "replicas": array(_replica_schema()),
    }
)
FLEET = record({"fleet": STRING, "mlperf": BOOLEAN, "models": array(MODEL)})

ROUTES = (
    OwnRoute(
        "GET",
        "/fleet",
        Access.TENANT_OR_OPERATOR,
        "Models, pools and replicas",
        fleet,
        operation=Operation({JSON: FLEET}, notes="Addresses inside the fleet are for operators."),
    ),
)
