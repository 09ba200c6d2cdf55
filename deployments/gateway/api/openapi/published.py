"""The documents of a fleet as bytes: made once for each kind of asker, not for each request."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from aiohttp import web

from cluster.fleet import Fleet, Task
from deployments.gateway.api.openapi.document import document
from deployments.gateway.api.route import Route
from deployments.gateway.identity.tenants import Tenant


@dataclass(frozen=True)
class Published:
    """Bytes that stay, and the tag by which clients know that they have them already."""

    body: bytes
    tag: str

    @classmethod
    def of(cls, body: bytes) -> Published:
        return cls(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    def response(self, request: web.Request, content_type: str, headers: dict[str, str]) -> web.Response:
        """The bytes, or 304 where the client has them."""
        headers = {**headers, "ETag": self.tag}
        known = request.headers.get("If-None-Match", "")
        if self.tag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
            return web.Response(status=304, headers=headers)
        return web.Response(body=self.body, content_type=content_type, headers=headers)


class ApiDescription:
    """The documents of one fleet."""

    def __init__(self, fleet: Fleet, routes: Sequence[Route]) -> None:
        self._fleet, self._routes = fleet, routes
        self._published: dict[tuple[frozenset[Task], bool], Published] = {}

    def for_operator(self) -> Published:
        return self._of(frozenset(model.task for model in self._fleet.models), True)

    def for_tenant(self, tenant: Tenant) -> Published:
        """Shows the routes of the models that the tenant may use."""
        return self._of(frozenset(model.task for model in self._fleet.models if tenant.may_use(model)), False)

    def _of(self, tasks: frozenset[Task], operator: bool) -> Published:
        made = self._published.get((tasks, operator))
        if made is None:
            body = msgspec.json.encode(document(self._fleet, self._routes, tasks, operator))
            made = self._published[tasks, operator] = Published.of(body)
        return made


DESCRIPTION = web.AppKey("description", ApiDescription)
"""Where the application holds its own."""
