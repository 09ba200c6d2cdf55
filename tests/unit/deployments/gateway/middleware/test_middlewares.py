from __future__ import annotations

from typing import Any

import pytest

from cluster.fleet import Gateway
from deployments.gateway.middleware import MIDDLEWARES, Middleware, middlewares_of
from deployments.gateway.middleware.access_log import access_log
from deployments.gateway.middleware.client_address import client_address
from deployments.gateway.middleware.cors import cors

OPTIONAL: tuple[tuple[Middleware, dict[str, Any]], ...] = (
    (client_address, {"trusted_proxies": ["10.0.0.0/8"]}),
    (cors, {"cors": {"allowed_origins": ["https://chat.example.com"]}}),
    (access_log, {"access_log": "errors"}),
)


@pytest.mark.parametrize(("middleware", "settings"), OPTIONAL)
def test_a_middleware_is_in_the_way_of_requests_only_where_the_fleet_asks_for_it(
    middleware: Middleware, settings: dict[str, Any]
) -> None:
    assert middleware not in middlewares_of(Gateway())
    assert middleware in middlewares_of(Gateway(**settings))


def test_all_others_are_in_every_fleet_and_in_the_order_of_the_list() -> None:
    every = middlewares_of(Gateway(**{name: value for _, given in OPTIONAL for name, value in given.items()}))
    assert tuple(every) == MIDDLEWARES
    assert [each for each in MIDDLEWARES if each not in dict(OPTIONAL)] == middlewares_of(Gateway())
