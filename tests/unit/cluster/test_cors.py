from __future__ import annotations

import pytest
from pydantic import ValidationError

from cluster.fleet import Cors, Gateway


def test_a_gateway_allows_no_other_origin_by_default() -> None:
    assert Gateway().cors is None
    assert Gateway().trusted_proxies == []


@pytest.mark.parametrize(
    "origin",
    ["https://chat.example.com", "http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:3000", "*"],
)
def test_origins_are_written_as_browsers_send_them(origin: str) -> None:
    assert Cors(allowed_origins=[origin]).allowed_origins == [origin]


@pytest.mark.parametrize(
    "origin",
    [
        "chat.example.com",
        "https://chat.example.com/",
        "https://chat.example.com/app",
        "https://Chat.example.com",
        "https://*.example.com",
        "https://chat.example.com:0",
        "https://user@chat.example.com",
        "file://x",
        "null",
        "",
    ],
)
def test_what_is_no_origin_is_refused_with_an_example(origin: str) -> None:
    with pytest.raises(ValidationError, match=r"https://chat\.example\.com"):
        Cors(allowed_origins=[origin])


def test_credentials_are_for_named_origins_only() -> None:
    assert Cors(allowed_origins=["https://a.example"], allow_credentials=True).allow_credentials
    with pytest.raises(ValidationError, match="name the origins"):
        Cors(allowed_origins=["*"], allow_credentials=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"allowed_origins": []},
        {"allowed_origins": ["*"], "allow_origins": ["*"]},
        {"allowed_origins": ["*"], "max_age_s": -1},
        {"allowed_origins": ["*"], "allowed_headers": ["a b"]},
        {"allowed_origins": ["*"], "allowed_headers": ["a\r\nb"]},
    ],
)
def test_other_mistakes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Gateway.model_validate({"cors": wrong})


def test_trusted_proxies_are_networks() -> None:
    settings = Gateway.model_validate({"trusted_proxies": ["10.0.0.0/8", "::1", "192.0.2.7"]})
    assert list(map(str, settings.trusted_proxies)) == ["10.0.0.0/8", "::1/128", "192.0.2.7/32"]
    with pytest.raises(ValidationError):
        Gateway.model_validate({"trusted_proxies": ["proxy.example.com"]})
