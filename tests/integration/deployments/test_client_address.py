"""Whom the gateway takes for the client of a request, and what engines see of such headers."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web

from cluster.fleet import Gateway
from deployments.gateway.api.health import ROUTES
from deployments.gateway.middleware.client_address import client_address
from deployments.gateway.preparation.bodies.byte_budget import ByteBudget, ByteClaim
from deployments.gateway.request.context import RequestContext
from deployments.gateway.server import GatewayServer
from tests.support.engine_keys import with_secrets
from tests.support.front import front
from tests.support.processes import HOST, fake_fleet, fake_pool, replica_info
from tests.support.stub_engine import stub_engine

CLIENT = "198.51.100.7"


@pytest.mark.parametrize(
    ("trusted", "client"),
    [([], HOST), (["10.0.0.0/8"], HOST), (["127.0.0.0/8"], CLIENT), (["127.0.0.1", "198.51.100.0/24"], "1.1.1.1")],
)
async def test_a_requests_client_is_whom_trusted_proxies_name(trusted: list[str], client: str) -> None:
    settings = Gateway.model_validate({"port": 0, "trusted_proxies": trusted})
    server = GatewayServer(with_secrets(fake_fleet().model_copy(update={"gateway": settings})))

    async def address(context: RequestContext) -> web.Response:
        return web.Response(text=context.client_address)

    async def handle(request: web.Request) -> web.StreamResponse:
        context = RequestContext(request, ROUTES[0], "id", ByteClaim(ByteBudget(1)))
        return await client_address(server.state, context, address)

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        url = f"http://{HOST}:{runner.addresses[0][1]}"
        headers = {"X-Forwarded-For": f"1.1.1.1, {CLIENT}"}
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
            assert await answer.text() == client
    finally:
        await runner.cleanup()
        await server.stop()


@pytest.mark.parametrize("trusted", [[], ["127.0.0.0/8"]])
async def test_engines_see_none_of_these_headers(trusted: list[str]) -> None:
    seen: list[web.BaseRequest] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"choices": []})

    headers = {
        "X-Forwarded-For": CLIENT,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "example.com",
        "Forwarded": f"for={CLIENT}",
        "X-Real-IP": CLIENT,
    }
    settings = Gateway.model_validate({"port": 0, "trusted_proxies": trusted})
    async with stub_engine(answer) as url:
        pool = fake_pool()
        fleet = fake_fleet(pool).model_copy(update={"gateway": settings})
        async with front(fleet, [replica_info(url, pool)]) as door:
            body = {"model": "m", "prompt": "hello"}
            async with door.session.post("/v1/completions", json=body, headers=headers) as got:
                assert got.status == 200
    assert not {name.lower() for name in headers} & {name.lower() for name in seen[0].headers}
