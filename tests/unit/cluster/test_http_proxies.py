from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from cluster.http_proxies import ProxyError, is_own_network, open_url, proxy_for
from tests.support.pages import serving_pages
from tests.support.recording_proxy import RecordingProxy, recording_proxy

KEY = {"Authorization": "Bearer the-key"}
OUTSIDE = "outside.example.com"


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingProxy]:
    with recording_proxy() as made:
        made.set_in(monkeypatch)
        yield made


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "127.0.0.1", "127.3.0.1", "::1", "10.0.0.7", "172.16.3.4", "192.168.1.1", "100.64.0.1"),
        *("fd00::7", "169.254.1.1", "fe80::1", "head", "mine-head-svc", "mine-head-svc.models.svc"),
        *("mine-head-svc.models.svc.cluster.local", "ip-10-0-0-1.ec2.internal", "printer.local."),
    ],
)
def test_loopback_and_cluster_addresses_have_no_proxy(proxy: RecordingProxy, host: str) -> None:
    url = f"http://[{host}]:8000/v1" if ":" in host else f"http://{host}:8000/v1"
    assert proxy_for(url, KEY) is None


def test_a_public_address_of_this_machine_has_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.http_proxies.own_address", lambda _: "1.1.1.1")
    assert is_own_network("1.1.1.1")
    assert not is_own_network("1.1.1.2")


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_an_outside_address_has_the_proxy_that_the_environment_names(
    proxy: RecordingProxy, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name)
    assert proxy_for(f"http://{OUTSIDE}/") is None
    monkeypatch.setenv(variable, "proxy.example.com:3128")
    assert proxy_for(f"http://{OUTSIDE}/") == "http://proxy.example.com:3128"
    monkeypatch.setenv("no_proxy", "example.com")
    assert proxy_for(f"http://{OUTSIDE}/") is None


def test_a_proxy_that_would_see_a_key_is_refused(proxy: RecordingProxy) -> None:
    assert proxy_for(f"https://{OUTSIDE}/", KEY) == proxy.url
    for request in ({"authorization": "x"}, KEY):
        with pytest.raises(
            ProxyError, match=r"would see the key: use https://, or list outside\.example\.com in no_proxy"
        ):
            proxy_for(f"http://{OUTSIDE}/", request)
    with pytest.raises(ProxyError, match="would see the key"):
        open_url(urllib.request.Request(f"http://{OUTSIDE}/", headers=KEY), 5)
    assert proxy.received == []


def test_a_proxy_of_another_kind_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("all_proxy", "ALL_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "socks5://user:secret@proxy:1080")
    monkeypatch.delenv("no_proxy")
    monkeypatch.delenv("NO_PROXY")
    with pytest.raises(ProxyError, match="the proxy socks5://proxy:1080 is not supported") as refused:
        proxy_for(f"http://{OUTSIDE}/")
    assert "secret" not in str(refused.value)


def test_a_refusing_proxy_is_named_as_the_proxy_and_gets_no_key(proxy: RecordingProxy) -> None:
    with pytest.raises(ProxyError, match=f"the proxy {proxy.url} does not connect: Tunnel connection failed: 403"):
        open_url(urllib.request.Request(f"https://{OUTSIDE}/v1/models", headers=KEY), 5)
    (head,) = proxy.received
    assert head.startswith(b"CONNECT outside.example.com:443 ")
    assert b"the-key" not in head


def test_a_proxy_where_nothing_listens_is_named_as_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    RecordingProxy("http://127.0.0.1:1").set_in(monkeypatch)
    with pytest.raises(ProxyError, match=r"the proxy http://127\.0\.0\.1:1 does not connect: .*refused"):
        open_url(f"http://{OUTSIDE}/", 5)


def test_a_request_without_a_key_goes_through_the_proxy(proxy: RecordingProxy) -> None:
    with pytest.raises(urllib.error.HTTPError):
        open_url(f"http://{OUTSIDE}/file", 5)
    assert proxy.received[0].startswith(b"GET http://outside.example.com/file ")


def test_a_key_is_not_shown_to_the_server_of_a_redirection(proxy: RecordingProxy) -> None:
    asked: list[tuple[str, str | None, bytes]] = []
    with serving_pages(asked) as start:
        there = start({"/there": {"a": 1}})
        with recording_proxy(f"302 Found\r\nLocation: {there}/there") as redirecting:
            with open_url(urllib.request.Request(f"{redirecting.url}/here", headers=KEY), 5) as answer:
                assert answer.status == 200
            assert b"the-key" in redirecting.received[0]
    assert asked == [("/there", None, b"")]
    assert proxy.received == []
