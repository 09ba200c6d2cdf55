"""An address is allowed only where every parser reads the same host from it, and that host is on the list."""

from __future__ import annotations

import pytest
from urllib3.util import parse_url
from yarl import URL

from deployments.gateway.errors import ApiError
from deployments.gateway.media import check_media

DOMAINS = ["cdn.example.com", "::1"]


def body(url: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.example.com",
        "http://cdn.example.com/a.png",
        "HTTPS://CDN.Example.com:8443/a/b.png?size=1&x=%20#part",
        "http://[::1]:80/a.png",
        "data:image/png;base64,AAAA",
    ],
)
def test_hosts_of_the_list_are_allowed(url: str) -> None:
    check_media(body(url), DOMAINS)
    if not url.startswith("data:"):
        hosts = {str(parse_url(url).hostname).strip("[]").lower(), str(URL(url).host).lower()}
        assert len(hosts) == 1, "the engine checks with one parser and fetches with the other"
        assert hosts <= {*DOMAINS}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a.png",
        "http://other.example.com/a.png",
        "http://127.0.0.1:9000\\@cdn.example.com/x.png",
        "http://127.0.0.1:9000\\\\@cdn.example.com/x.png",
        "http://cdn.example.com@127.0.0.1/x.png",
        "http://user:password@cdn.example.com/x.png",
        "http://cdn.example.com#@127.0.0.1/",
        "http://cdn.example.com?@127.0.0.1/",
        "http://cdn.example.com\t.evil.example/",
        "http://cdn.example.com\n/",
        " http://cdn.example.com/",
        "http:///cdn.example.com/",
        "http:cdn.example.com/",
        "//cdn.example.com/a.png",
        "file:///etc/passwd",
        "ftp://cdn.example.com/a.png",
        "http://cdn.example.com:port/",
        "http://cdn.example.com:999999/",
        "http://\uff43dn.example.com/",
        "http://cdn.example.com/\u00e9",
        "http://[::1",
        "",
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(ApiError, match="may not be fetched") as raised:
        check_media(body(url), DOMAINS)
    assert (raised.value.status, raised.value.code) == (400, "media_not_allowed")
