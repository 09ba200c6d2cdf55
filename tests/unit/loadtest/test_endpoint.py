from __future__ import annotations

import pytest

from loadtest.endpoint import TargetError, endpoint, get_json
from tests.support.pages import Serve, serving_pages


@pytest.mark.parametrize("given", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"])
def test_an_endpoint_with_or_without_v1(given: str) -> None:
    with endpoint(None, given) as url:
        assert url == "http://h:1"


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
