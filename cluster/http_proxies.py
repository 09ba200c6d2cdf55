"""Which HTTP requests go through a proxy: the one place that decides, and blocking requests that follow it.

A fleet's own addresses are reached directly, whatever `http_proxy`, `https_proxy` and `all_proxy` say. All others are
reached as these variables and `no_proxy` say. `deployments/http_sessions.py` has sessions that follow the same rule.
"""

from __future__ import annotations

import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPMessage, HTTPResponse
from typing import IO
from urllib.parse import urlsplit

from cluster.addresses import ip_address, is_loopback, own_address

LOCAL_SUFFIXES = (".local", ".internal", ".svc")
"""Names that only mean something inside a network: mDNS, private DNS zones, Kubernetes' services."""
AUTHORIZATION = "Authorization"


class ProxyError(OSError):
    """A proxy that cannot be used. The message names it, and says what to do."""


def is_own_network(host: str) -> bool:
    """Whether this host is this machine or in a cluster's network: a private address, or a name without a domain."""
    if is_loopback(host):
        return True
    address = ip_address(host)
    if address is not None:
        own = own_address(socket.AF_INET6 if address.version == 6 else socket.AF_INET)
        return not address.is_global or str(address) == own
    name = host.lower().rstrip(".")
    return "." not in name or name.endswith(LOCAL_SUFFIXES)


def proxy_for(url: str, headers: Mapping[str, str] | None = None) -> str | None:
    """The proxy that a request with these headers goes through; None where it goes directly.

    Raises ProxyError where the environment names a proxy that is not supported, or one that would see a key.
    """
    split = urlsplit(url)
    host = split.hostname or ""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(split.scheme) or proxies.get("all")
    if not proxy or is_own_network(host) or urllib.request.proxy_bypass(host):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    name = without_password(proxy)
    if urlsplit(proxy).scheme != "http":
        raise ProxyError(f"the proxy {name} is not supported: name one with http://, or list {host} in no_proxy")
    has_key = any(name.lower() == AUTHORIZATION.lower() for name in headers or ())
    if has_key and split.scheme != "https":
        raise ProxyError(f"the proxy {name} would see the key: use https://, or list {host} in no_proxy")
    return proxy


def without_password(proxy: str) -> str:
    """A proxy as messages may name it."""
    split = urlsplit(proxy)
    return split._replace(netloc=split.netloc.rpartition("@")[2]).geturl()


def open_url(request: str | urllib.request.Request, timeout_s: float) -> HTTPResponse:
    """As `urllib.request.urlopen`. Raises ProxyError where the proxy fails, and urllib's errors for all else."""
    made = request if isinstance(request, urllib.request.Request) else urllib.request.Request(request)
    proxy = proxy_for(made.full_url, dict(made.header_items()))
    try:
        response: HTTPResponse = _opener.open(made, timeout=timeout_s)
    except urllib.error.HTTPError:
        raise
    except urllib.error.URLError as error:
        if proxy is None or isinstance(error.reason, ssl.SSLError):
            raise
        raise ProxyError(f"the proxy {without_password(proxy)} does not connect: {error.reason}") from error
    return response


class _Proxies(urllib.request.ProxyHandler):
    """Decides for each request, and anew after a redirection."""

    def __init__(self) -> None:
        super().__init__({})

    def http_open(self, request: urllib.request.Request) -> HTTPResponse | None:
        proxy = proxy_for(request.full_url, dict(request.header_items()))
        return self.proxy_open(request, proxy, request.type) if proxy else None

    https_open = http_open


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Shows a key to no other server than the one that it was meant for."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is not None and _origin(req) != _origin(following):
            following.remove_header(AUTHORIZATION)
        return following


def _origin(request: urllib.request.Request) -> tuple[str, str]:
    split = urlsplit(request.full_url)
    return split.scheme, split.netloc


_opener = urllib.request.build_opener(_Proxies(), _Redirects())
