"""What every request passes before its route answers, in this order."""

from collections.abc import Callable, Mapping

from cluster.fleet import Gateway
from deployments.gateway.middleware.access_log import access_log
from deployments.gateway.middleware.admission import admission
from deployments.gateway.middleware.authentication import authentication
from deployments.gateway.middleware.client_address import client_address
from deployments.gateway.middleware.cors import cors
from deployments.gateway.middleware.drain import drain
from deployments.gateway.middleware.measurement import measurement
from deployments.gateway.middleware.middleware import Middleware, chain
from deployments.gateway.middleware.quota import quota
from deployments.gateway.middleware.refusals import refusals

MIDDLEWARES: tuple[Middleware, ...] = (
    client_address,
    cors,
    measurement,
    access_log,
    refusals,
    drain,
    authentication,
    quota,
    admission,
)
"""The first sees a request first and its answer last."""

OPTIONAL: Mapping[Middleware, Callable[[Gateway], bool]] = {
    client_address: lambda settings: bool(settings.trusted_proxies),
    cors: lambda settings: settings.cors is not None,
    access_log: lambda settings: settings.access_log != "off",
}
"""Those that have something to do in some fleets only. The others stand in every fleet's way."""


def middlewares_of(settings: Gateway) -> list[Middleware]:
    """Those that a fleet with these settings needs."""
    return [each for each in MIDDLEWARES if each not in OPTIONAL or OPTIONAL[each](settings)]


__all__ = ["MIDDLEWARES", "Middleware", "chain", "middlewares_of"]
