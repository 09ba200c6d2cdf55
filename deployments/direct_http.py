"""HTTP requests that no proxy sees: to gateways and engines, which the data path reaches without one too."""

from __future__ import annotations

import urllib.request
from http.client import HTTPResponse

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def open_url(request: str | urllib.request.Request, timeout_s: float) -> HTTPResponse:
    """As `urllib.request.urlopen`, which takes `http_proxy` for addresses on this machine too."""
    response: HTTPResponse = _opener.open(request, timeout=timeout_s)
    return response
