"""What a route is: who may ask, and how its answer is made."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from aiohttp import web

from cluster.fleet import Task
from deployments.gateway.admission.limits import Unit
from deployments.gateway.api.openapi.operation import Operation
from deployments.gateway.request.route_bodies import RouteBodies

if TYPE_CHECKING:
    from deployments.gateway.request.context import RequestContext
    from deployments.gateway.request.reading import ParsedRequest
    from deployments.gateway.state import GatewayState


class Access(StrEnum):
    """Who may ask for a route."""

    PUBLIC = "public"
    TENANT = "tenant"
    OPERATOR = "operator"
    TENANT_OR_OPERATOR = "tenant or operator"


VARIABLE = re.compile(r"\{(\w+)[^}]*\}")
"""A part of a path that differs by request, with the pattern that it has for aiohttp."""


@dataclass(frozen=True)
class Route:
    """A path and a method. `summary` and `operation` are for those who read the API's description."""

    method: str
    path: str
    access: Access
    summary: str
    operation: Operation = field(default=Operation(), kw_only=True)

    @cached_property
    def template(self) -> str:
        """The path as people write it, such as `/v1/models/{name}`."""
        return VARIABLE.sub(r"{\1}", self.path)


@dataclass(frozen=True)
class OwnRoute(Route):
    """A route that the gateway answers itself."""

    answer: Callable[[GatewayState, RequestContext], Awaitable[web.StreamResponse]]


Reader = Callable[["GatewayState", "RequestContext", "ModelRoute"], Awaitable["ParsedRequest"]]


@dataclass(frozen=True)
class ModelRoute(Route):
    """A route that a replica of the model in the body answers.

    `read` receives and prepares a body; `bodies` says how.
    """

    tasks: frozenset[Task]
    read: Reader
    bodies: RouteBodies

    @property
    def unit(self) -> Unit | None:
        """Of the model's work for it, which counts against the tenant's limits; None where it does none."""
        return self.bodies.unit


def model_route(
    bodies: RouteBodies, summary: str, tasks: frozenset[Task], read: Reader, operation: Operation
) -> ModelRoute:
    """A POST route for tenants."""
    return ModelRoute("POST", bodies.path, Access.TENANT, summary, tasks, read, bodies, operation=operation)


TEXT = frozenset({Task.CHAT, Task.VISION_CHAT})
SPEECH = frozenset({Task.TRANSCRIPTION})
