"""What every request passes before its route answers, in this order."""

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

__all__ = ["MIDDLEWARES", "Middleware", "chain"]
