"""The project's aiohttp sessions: one kind for a fleet's own servers, and one for whatever address a user gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp

from cluster.http_proxies import proxy_for


def direct_session(**options: Any) -> aiohttp.ClientSession:
    """A session that no proxy sees: for replicas, gateways, and hosts that were checked by their address."""
    return aiohttp.ClientSession(trust_env=False, **options)


def endpoint_session(url: str, headers: Mapping[str, str], **options: Any) -> aiohttp.ClientSession:
    """A session for requests with these headers to one endpoint, directly or through a proxy. Raises ProxyError."""
    return aiohttp.ClientSession(trust_env=False, proxy=proxy_for(url, headers), **options)


def failure_text(error: Exception) -> str:
    """What a request failed with, for a person. A proxy that fails is named as the proxy."""
    match error:
        case aiohttp.ClientProxyConnectionError():
            return f"the proxy {error.host}:{error.port} does not connect: {error.os_error}"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy refuses: {error.status} {error.message}"
        case _:
            return f"{type(error).__name__}: {error}"
