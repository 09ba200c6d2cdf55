"""The models that a tenant may use."""

from __future__ import annotations

from aiohttp import web

from deployments.gateway.api.openapi.operation import JSON, Operation, Parameter
from deployments.gateway.api.openapi.schemas import COUNT_OR_NULL, INTEGER, STRING, array, record
from deployments.gateway.api.route import Access, OwnRoute
from deployments.gateway.replicas.directory import ServedModel
from deployments.gateway.request.context import RequestContext
from deployments.gateway.state import GatewayState


async def list_models(state: GatewayState, context: RequestContext) -> web.Response:
    """Every name and alias, as OpenAI lists models."""
    served = state.directory.open_to(context.tenant)
    cards = [_card(state, one, name) for one in served for name in one.model.names]
    return web.json_response({"object": "list", "data": cards})


async def one_model(state: GatewayState, context: RequestContext) -> web.Response:
    name = context.request.match_info["name"]
    return web.json_response(_card(state, state.directory.open_model(name, context.tenant), name))


def _card(state: GatewayState, served: ServedModel, name: str) -> dict[str, object]:
    lengths = [a.max_model_len for a in served.replica_infos.values() if a.max_model_len]
    return {
        "id": name,
        "object": "model",
        "created": state.started,
        "owned_by": "mixfleet",
        "root": served.model.checkpoint,
        "max_model_len": min(lengths, default=None),
    }


CARD = record(
    {
        "id": STRING,
        "object": {"const": "model"},
        "created": INTEGER,
        "owned_by": STRING,
        "root": STRING,
        "max_model_len": COUNT_OR_NULL,
    }
)
NAME = Parameter("name", "path", {"type": "string", "minLength": 1, "maxLength": 128}, "A model's name or alias.")

ROUTES = (
    OwnRoute(
        "GET",
        "/v1/models",
        Access.TENANT,
        "Models that you may use",
        list_models,
        operation=Operation({JSON: record({"object": {"const": "list"}, "data": array(CARD)})}),
    ),
    OwnRoute(
        "GET",
        "/v1/models/{name:(?s:.+)}",
        Access.TENANT,
        "One model",
        one_model,
        operation=Operation({JSON: CARD}, parameters=(NAME,), statuses={404: None}),
    ),
)
