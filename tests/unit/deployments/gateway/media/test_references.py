"""An address is allowed only where every parser reads the same host from it, and that host is on the list."""

from __future__ import annotations

import pytest
from urllib3.util import parse_url
from yarl import URL

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.media.references import MOST_ADDRESSES, check_media, put_media

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


@pytest.mark.parametrize(
    "url",
    [
        "data:,hello",
        "data:image/svg+xml;utf8,<svg/>",
        "data:image/png,AAAA",
        "DATA:image/png;charset=x,AAAA",
        "data:image/png;base64",
        "data:" + "x" * 2000 + ";base64,AAAA",
    ],
)
def test_inline_media_that_is_not_in_base64_is_refused(url: str) -> None:
    """Engines answer it with 501."""
    with pytest.raises(ApiError, match="not in base64") as raised:
        check_media(body(url), DOMAINS)
    assert (raised.value.status, raised.value.code, raised.value.param) == (400, "media_invalid", "messages")


def test_addresses_are_found_once_each_and_replaced_everywhere() -> None:
    one, two = "https://cdn.example.com/1.png", "https://cdn.example.com/2.png"
    parts = [
        {"type": "image_url", "image_url": {"url": one, "detail": "low"}},
        {"type": "image_url", "image_url": two},
        {"type": "video_url", "video_url": {"url": one}},
        {"type": "text", "text": two},
    ]
    chat = {"messages": [{"role": "user", "content": parts}], "input": [{"type": "input_image", "image_url": two}]}
    assert check_media(chat, DOMAINS) == [one, two]
    put_media(chat, {one: "data:image/png;base64,AQ==", two: "data:image/png;base64,Ag=="})
    assert check_media(chat, DOMAINS) == []
    assert parts[0]["image_url"] == {"url": "data:image/png;base64,AQ==", "detail": "low"}
    assert parts[1]["image_url"] == chat["input"][0]["image_url"] == "data:image/png;base64,Ag=="
    assert parts[3]["text"] == two


def test_too_many_addresses_are_refused() -> None:
    parts = [{"image_url": f"https://cdn.example.com/{number}"} for number in range(MOST_ADDRESSES + 1)]
    with pytest.raises(ApiError, match="name at most 32"):
        check_media({"messages": [{"content": parts}]}, DOMAINS)
