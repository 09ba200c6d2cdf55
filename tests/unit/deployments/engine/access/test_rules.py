from __future__ import annotations

import json

import pytest

from deployments.engine.access.rules import ENGINE_ROUTES, Caller, refusal, websocket_refusal
from deployments.gateway.api import MODEL_ROUTES
from tests.support.engine_keys import engine_keys

ADDRESS = "127.0.0.1:8000"
KEY = engine_keys().headers(f"http://{ADDRESS}")["Authorization"].encode()


def status(method: str, path: str, authorization: bytes | None) -> int:
    found = refusal(engine_keys(), ENGINE_ROUTES, method, path, Caller(authorization, ADDRESS))
    return found.status if found else 200


def test_every_route_that_the_gateway_sends_on_is_answered() -> None:
    assert {route.path for route in MODEL_ROUTES} == {path for method, path in ENGINE_ROUTES if method == "POST"}


@pytest.mark.parametrize("route", sorted(ENGINE_ROUTES))
def test_a_listed_route_is_answered_with_the_key_alone(route: tuple[str, str]) -> None:
    assert status(*route, KEY) == 200
    assert status(*route, None) == status(*route, KEY[:-1]) == 401


@pytest.mark.parametrize(
    "route",
    [
        *(("GET", "/load"), ("POST", "/reset_prefix_cache"), ("GET", "/docs"), ("OPTIONS", "/v1/models")),
        *(("HEAD", "/health"), ("POST", "/health"), ("GET", "/health/"), ("GET", "//health"), ("get", "/health")),
        *(("GET", "/metrics/x"), ("GET", "/v1/models/m"), ("GET", "/Health"), ("GET", "/health?x"), ("GET", "")),
    ],
)
def test_a_route_that_is_not_listed_is_never_answered(route: tuple[str, str]) -> None:
    assert status(*route, KEY) == 404
    assert status(*route, None) == 401, "without the key nobody learns which routes there are"


def test_websockets_are_never_accepted() -> None:
    assert websocket_refusal(engine_keys(), Caller(KEY, ADDRESS)).status == 403
    assert websocket_refusal(engine_keys(), Caller(None, ADDRESS)).status == 401


def test_a_refusal_is_an_error_object_that_says_what_to_do() -> None:
    found = refusal(engine_keys(), ENGINE_ROUTES, "GET", "/health", Caller(None, ADDRESS))
    assert found is not None
    error = json.loads(found.body())["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_engine_key")
    assert "send the request to the fleet's gateway" in error["message"]
    assert found.headers["WWW-Authenticate"] == "Bearer"
