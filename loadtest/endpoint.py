"""An OpenAI-compatible endpoint: where it is, and what it tells of itself."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from cluster.addresses import http_address, reachable_host, reachable_url
from cluster.http_proxies import ProxyError, open_url, proxy_for, without_password
from cluster.loading import DEFAULT_FLEET, load_fleet

TIMEOUT_S = 10.0

UNVERIFIED = "unverified"
CACHES_OFF = "off"
CACHES_ON = "on"
"""What is known of caches that span queries."""


class TargetError(RuntimeError):
    """Nothing there to measure, or not what the test needs. The message says what to do."""


@contextmanager
def endpoint(fleet: str | None, url: str | None, mlperf: bool = True) -> Iterator[str]:
    """The address to measure: `url`, or that of the running fleet, or of `fleet` (default: the embedded one), which is
    then started (in MLPerf mode where `mlperf`, else as it is written) and stopped at the end.

    Raises TargetError, and cluster.loading.FleetError.
    """
    if url is not None:
        yield reachable_url(url.rstrip("/").removesuffix("/v1"))
        return
    wanted = load_fleet(fleet or DEFAULT_FLEET)
    running = http_address(reachable_host(wanted.gateway.host), wanted.gateway.port)
    if fleet is None and get_json(f"{running}/fleet") is not None:
        yield running
        return
    from deployments.run import serving  # Serve and its deployments, where a fleet is started at all

    with serving(wanted.model_copy(update={"mlperf": True}) if mlperf else wanted) as started:
        yield started


def bearer(api_key: str | None) -> dict[str, str]:
    """The header that names who asks; none where there is no key."""
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}


def get_json(url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any] | None:
    """A JSON object; None where nothing listens or the route is not there. Raises TargetError for anything else."""
    try:
        with open_url(urllib.request.Request(url, headers=dict(headers or {})), TIMEOUT_S) as response:
            content = json.load(response)
    except urllib.error.HTTPError as error:
        if error.code in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            return None
        remedy = "; give a key of it with --api-key" if error.code == HTTPStatus.UNAUTHORIZED else ""
        proxy = proxy_for(url)
        way = f" by the proxy {without_password(proxy)}" if proxy else ""
        raise TargetError(f"{url} answers {error.code} {error.reason}{way}{remedy}") from None
    except ProxyError as error:
        raise TargetError(f"{url}: {error}") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            return None
        raise TargetError(f"{url} cannot be reached: {error.reason}") from None
    except (OSError, ValueError) as error:
        raise TargetError(f"{url} gives no JSON: {error}") from None
    if not isinstance(content, dict):
        raise TargetError(f"{url} gives no JSON object; is this an OpenAI-compatible server?")
    return content
