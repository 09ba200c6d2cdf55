"""The HTTP server: OpenAI's routes, and the fleet's own (health, ready, fleet, metrics)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from cluster.fleet import Fleet
from deployments.announcement import Announcement
from deployments.gateway.directory import Directory, Served
from deployments.gateway.errors import ApiError, shortened
from deployments.gateway.feeds import Feeds
from deployments.gateway.file_reserve import FILES
from deployments.gateway.forward import Forwarder
from deployments.gateway.http_errors import Runner, allowed_methods, name_answer
from deployments.gateway.http_errors import request_id as request_id_of
from deployments.gateway.http_log import logger
from deployments.gateway.limits import Charge, OverLimit, Unit
from deployments.gateway.metrics import Metrics
from deployments.gateway.planning import Plan, plan
from deployments.gateway.preparation.byte_budget import ByteBudget, ByteClaim
from deployments.gateway.preparation.collector import PreparationCollector
from deployments.gateway.preparation.json_body import JsonSettings, Source
from deployments.gateway.preparation.preparer import preparer
from deployments.gateway.requests import Parsed
from deployments.gateway.routes import ROUTES, UNOFFERED, ReadContext, Route
from deployments.gateway.routing_state import describe
from deployments.gateway.tenants import Tenant, Tenants
from deployments.gateway.under_way import UnderWay
from deployments.gateway.wishes import read_wishes

DECISIONS = re.compile(r"[0-9]{1,6}", re.ASCII)
HAND_OVER_S = 10.0
"""Within which clients use an open connection once more, or have it closed."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TENANT = web.RequestKey("tenant", Tenant)


class GatewayServer:
    """One gateway: a listener, a directory that someone keeps up to date, and a forwarder. One event loop owns it."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.directory = Directory(fleet)
        self.feeds = Feeds()
        self.preparer = preparer(keyed=not fleet.mlperf, settings=fleet.gateway)
        self.bytes = ByteBudget(fleet.gateway.max_bytes_in_flight)
        self.metrics = Metrics(self.directory, self.feeds)
        self.metrics.registry.register(PreparationCollector(self.preparer.pool, self.bytes, FILES))
        self.tenants = Tenants(fleet)
        self.port = 0
        self._sources: dict[str, Source] = {}
        self._started = int(time.time())
        self._loading: dict[tuple[str, str, str | None], asyncio.Task[str]] = {}
        self._forwarder: Forwarder | None = None
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._under_way = UnderWay()
        self._handing_over = False

    async def start(self, reuse_port: bool = False) -> None:
        """Listens on the fleet's address. Raises OSError where the port is taken."""
        settings = self.fleet.gateway
        self._forwarder = Forwarder(settings, self.metrics)
        self._runner = Runner(
            self._application(),
            access_log=None,
            logger=logger,
            auto_decompress=False,  # preparation workers decode what clients compressed
            handler_cancellation=True,  # a client that is gone ends its request's handler, and so the engine's work
            keepalive_timeout=settings.keepalive_s,
            shutdown_timeout=5,
        )
        await self._runner.setup()
        try:
            self._site = web.TCPSite(self._runner, settings.host, settings.port, reuse_port=reuse_port, backlog=4096)
            await self._site.start()
        except OSError:
            await self.stop()
            raise
        self.port = self._runner.addresses[0][1]

    async def drain(self) -> bool:
        """Takes no further request and waits for the ends of those under way, but no longer than the fleet allows.

        New ones get 503 and Retry-After. Returns whether all ended.
        """
        within_s = self.fleet.gateway.drain_timeout_s
        ended = await self._under_way.drain(within_s)
        if not ended:
            logger.warning("%d requests are cut off: they have not ended within %g s", self._under_way.count, within_s)
        return ended

    async def hand_over(self) -> bool:
        """Stops for the sake of another gateway that listens on this port already.

        New connections are its own from now on. Requests on those that are open are still answered, the last ones:
        their answers close them. Then as `drain`.
        """
        assert self._runner is not None
        if self._site:
            await self._site.stop()
        self._handing_over = True
        until = time.monotonic() + HAND_OVER_S
        while self._runner.server and self._runner.server.connections and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        return await self.drain()

    def update(self, announcements: Sequence[Announcement]) -> None:
        """Takes the full list of replicas that are there now."""
        before = {incarnation for served in self.directory.models for incarnation in served.router.replicas}
        self.directory.update(announcements)
        self.feeds.leave(before - {told.incarnation for told in announcements})
        for served in self.directory.models:
            if served.keyed and served.router.policy.uses_prefixes:
                self.feeds.follow(served.router, served.announcements.values())
            self._load_renderer(served)
        self._sources = {name: Source(*one.prompts_by()) for one in self.directory.models for name in one.model.names}

    def _load_renderer(self, served: Served) -> None:
        """Ahead of the first request, which would do without."""
        wanted = served.prompts_by()
        if wanted[0] and wanted not in self._loading:
            self._loading[wanted] = asyncio.create_task(self.preparer.load(Source(*wanted)))

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()
        await self.feeds.close()
        for task in self._loading.values():
            task.cancel()
        await asyncio.gather(*self._loading.values(), return_exceptions=True)
        await self.preparer.close()
        if self._forwarder:
            await self._forwarder.close()

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[_errors_as_objects])
        app.on_response_prepare.append(name_answer)
        app.on_response_prepare.append(_tell_limits)
        app.on_response_prepare.append(self._say_good_bye)
        for route in ROUTES:
            app.router.add_post(route.path, self._handler(route))
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{name:.+}", self._model)
        app.router.add_get("/health", self._health)
        app.router.add_get("/-/healthz", self._health)  # what KubeRay asks of Serve's proxies, which are off
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/fleet", self._describe)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/debug/routing", self._routing)
        app.router.add_route("*", "/{path:.*}", self._unknown)
        return app

    def _handler(self, route: Route) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            started = time.perf_counter()
            request_id = request_id_of(request.headers)
            model, status = "", 499  # as nginx counts a client that went away
            parsed: Parsed | None = None
            planned: Plan | None = None
            charge = Charge(None, 0)
            claim = ByteClaim(self.bytes)
            self._under_way.enter()
            try:
                self._under_way.check()
                FILES.check()
                tenant = self._tenant(request)
                wishes = read_wishes(request.headers, tenant.priority)
                tenant.quota.charge(Unit.REQUESTS)
                parsed = await self._read(route, request, tenant, claim)
                served = self._served(route, parsed.model, tenant)
                model = served.model.name
                if route.unit:
                    charge = tenant.quota.charge(route.unit, parsed.amount)
                wishes.check(time.perf_counter() - started)
                arrived = time.monotonic() - time.perf_counter() + started
                planned = plan(parsed, route, served, tenant, wishes, arrived)
                if planned.unkeyed:
                    self.metrics.unkeyed.labels(model, planned.unkeyed).inc()
                assert self._forwarder is not None
                response = await self._forwarder.forward(request, served, planned, request_id)
                status = response.status
                if status >= 400:
                    charge.settle(0)
                return response
            except ApiError as error:
                charge.settle(0)
                status = error.status
                refusal = error.response()
                refusal.headers["x-request-id"] = request_id
                if self._under_way.draining:
                    refusal.force_close()
                if isinstance(error, OverLimit):
                    self.metrics.limit_refusals.labels(request[TENANT].name, error.unit).inc()
                return refusal
            finally:
                self._under_way.leave()
                if planned and route.unit:
                    _settle(charge, route.unit, planned)
                if parsed:
                    parsed.close()
                claim.release()
                self.metrics.requests.labels(route.path, model, status).inc()
                self.metrics.duration.labels(route.path, model).observe(time.perf_counter() - started)
                if TENANT in request:
                    self.metrics.tenant_requests.labels(request[TENANT].name, status).inc()

        return handle

    async def _say_good_bye(self, request: web.Request, response: web.StreamResponse) -> None:
        if self._handing_over:
            response.force_close()
            response.headers["Connection"] = "close"

    def _tenant(self, request: web.Request) -> Tenant:
        """Who asks. Raises ApiError 401."""
        request[TENANT] = tenant = self.tenants.authenticate(request.headers)
        return tenant

    async def _read(self, route: Route, request: web.Request, tenant: Tenant, claim: ByteClaim) -> Parsed:
        settings = self.fleet.gateway
        json = JsonSettings(
            route=route.path,
            worked=route.unit is not None,
            keyed=not self.fleet.mlperf,
            tenant_salt=tenant.salt,
            media_domains=settings.media_domains,
            resumes=settings.resume,
            unknown_fields=settings.unknown_fields,
            sources=self._sources,
        )
        try:
            async with asyncio.timeout(settings.body_timeout_s):
                return await route.read(request, ReadContext(settings, self.preparer, tenant.name, claim, json))
        except TimeoutError:
            raise ApiError(408, f"the body did not come within {settings.body_timeout_s:g} s; send it faster") from None

    def _find(self, name: str, tenant: Tenant) -> Served:
        """The model of that name, which must be there for this tenant. Raises ApiError 404."""
        served = self.directory.find(name)
        if served is None or not tenant.may_use(served.model):
            known = ", ".join(one.model.name for one in self._open_to(tenant))
            raise ApiError(
                404,
                f"the model '{shortened(name)}' does not exist, or you may not use it; you may use {known}",
                param="model",
                code="model_not_found",
            )
        return served

    def _open_to(self, tenant: Tenant) -> list[Served]:
        return [served for served in self.directory.models if tenant.may_use(served.model)]

    def _served(self, route: Route, name: str, tenant: Tenant) -> Served:
        served = self._find(name, tenant)
        if served.model.task not in route.tasks:
            offered = ", ".join(r.path for r in ROUTES if served.model.task in r.tasks)
            raise ApiError(
                404,
                f"the model '{shortened(name)}' does not offer {route.path}; it offers {offered}",
                code="route_not_offered",
            )
        return served

    def _card(self, served: Served, name: str) -> dict[str, object]:
        lengths = [a.max_model_len for a in served.announcements.values() if a.max_model_len]
        return {
            "id": name,
            "object": "model",
            "created": self._started,
            "owned_by": "mixfleet",
            "root": served.model.checkpoint,
            "max_model_len": min(lengths, default=None),
        }

    async def _models(self, request: web.Request) -> web.Response:
        open_here = self._open_to(self._tenant(request))
        cards = [self._card(served, name) for served in open_here for name in served.model.names]
        return web.json_response({"object": "list", "data": cards})

    async def _model(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return web.json_response(self._card(self._find(name, self._tenant(request)), name))

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()

    def unready(self) -> list[str]:
        """What is waited for before every request finds a replica, and its prefix."""
        loading = [checkpoint for (_, checkpoint, _), task in self._loading.items() if not task.done()]
        return self.directory.missing() + [f"the tokenizer of {checkpoint}" for checkpoint in loading]

    async def _ready(self, request: web.Request) -> web.Response:
        waiting_for = ["drain"] if self._under_way.draining else self.unready()
        return web.json_response({"waiting_for": waiting_for}, status=503 if waiting_for else 200)

    async def _describe(self, request: web.Request) -> web.Response:
        models = [
            {
                "name": served.model.name,
                "aliases": served.model.aliases,
                "task": served.model.task,
                "checkpoint": served.model.checkpoint,
                "revision": served.model.revision,
                "replicas": [announcement.as_dict() for announcement in served.announcements.values()],
            }
            for served in self._open_to(self._tenant(request))
        ]
        return web.json_response({"fleet": self.fleet.name, "mlperf": self.fleet.mlperf, "models": models})

    async def _metrics(self, request: web.Request) -> web.Response:
        self._tenant(request)
        return web.Response(body=self.metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _routing(self, request: web.Request) -> web.Response:
        tenant = self._tenant(request)
        most = request.query.get("decisions", "16")
        if not DECISIONS.fullmatch(most):
            raise ApiError(400, f"`decisions` is '{most[:20]}'; send a number of decisions to list", param="decisions")
        return web.json_response([describe(served, self.feeds, int(most)) for served in self._open_to(tenant)])

    async def _unknown(self, request: web.Request) -> web.Response:
        known = {route.path for route in ROUTES}
        path = shortened(request.path)
        if allowed := await allowed_methods(request):
            allow = ", ".join(sorted(allowed))
            raise ApiError(405, f"{path} takes {allow}, not {request.method}", headers={"Allow": allow})
        if request.path.startswith(UNOFFERED):
            raise ApiError(404, f"no model of this fleet offers {path}", code="route_not_offered")
        raise ApiError(404, f"no route {request.method} {path}; there are {', '.join(sorted(known))}")


def _settle(charge: Charge, unit: Unit, planned: Plan) -> None:
    """By what the answer reported, or has had of it where its client left; else it stays charged as estimated."""
    if charge.open and (amount := planned.usage.amount(unit, planned.parsed.request.tokens)) is not None:
        charge.settle(amount)


async def _tell_limits(request: web.Request, response: web.StreamResponse) -> None:
    if TENANT in request:
        response.headers.update(request[TENANT].quota.headers())


@web.middleware
async def _errors_as_objects(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error leaves as OpenAI's error object, also those that aiohttp itself raises."""
    try:
        return await handler(request)
    except ApiError as error:
        return error.response()
    except web.HTTPException as error:
        return ApiError(error.status, error.reason).response()
    except asyncio.CancelledError:
        raise
    except ConnectionResetError:
        raise
    except Exception as error:
        request.app.logger.exception("unexpected error on %s %s", request.method, request.path)
        return ApiError(500, f"the gateway failed unexpectedly ({type(error).__name__})", code="internal").response()
