from __future__ import annotations

import socket

import pytest

from cluster.addresses import http_address, own_address
from cluster.fleet import Gateway
from loadtest.endpoint import TargetError, endpoint, get_json
from tests.support.pages import Serve, serving_pages
from tests.support.processes import fake_fleet


@pytest.mark.parametrize("given", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"])
def test_an_endpoint_with_or_without_v1(given: str) -> None:
    with endpoint(None, given) as url:
        assert url == "http://h:1"


def test_workers_on_other_nodes_get_no_address_to_listen_on() -> None:
    for host, family in (("0.0.0.0", socket.AF_INET), ("[::]", socket.AF_INET6)):
        with endpoint(None, f"http://{host}:8000/v1") as url:
            assert url == http_address(own_address(family), 8000)


def test_a_running_fleet_that_listens_everywhere_is_measured_at_its_nodes_address(
    monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    running = serve({"/fleet": {"models": []}})
    gateway = Gateway(host="0.0.0.0", port=int(running.rpartition(":")[2]))
    monkeypatch.setattr("cluster.addresses.own_address", lambda _: "127.0.0.1")
    monkeypatch.setattr("loadtest.endpoint.load_fleet", lambda _: fake_fleet().model_copy(update={"gateway": gateway}))
    with endpoint(None, None) as url:
        assert url == running


def test_headers_are_sent() -> None:
    asked: list[tuple[str, str | None, bytes]] = []
    with serving_pages(asked) as serve:
        assert get_json(serve({"/fleet": {"a": 1}}) + "/fleet", {"Authorization": "Bearer k"}) == {"a": 1}
    assert asked == [("/fleet", "Bearer k", b"")]


def test_what_is_not_there_is_none_and_what_is_wrong_is_said(serve: Serve) -> None:
    url = serve({"/busy": 503, "/text": b"<html>", "/list": [1]})
    assert get_json(f"{url}/other") is None
    assert get_json("http://127.0.0.1:1/fleet") is None
    for page, why in (("busy", "answers 503"), ("text", "gives no JSON"), ("list", "gives no JSON object")):
        with pytest.raises(TargetError, match=why):
            get_json(f"{url}/{page}")


def test_a_proxy_is_not_asked_for_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert get_json("http://127.0.0.1:1/fleet") is None, "refused by the endpoint itself"
