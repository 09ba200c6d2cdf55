"""Which media a request may name by address. The gateway fetches it: engines are never sent an address."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from yarl import URL

from deployments.gateway.errors.error_object import ApiError, shortened

ADDRESSED = ("image_url", "audio_url", "video_url", "file_url")
ADDRESS = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?(/[!#-\[\]-~]*)?", re.IGNORECASE)
"""Addresses without a user, backslash, space, query outside a path, or letter outside ASCII."""

MOST_ADDRESS = 2048
"""Characters of an address."""

MOST_ADDRESSES = 32
"""Addresses in one request."""

MOST_DEPTH = 8
"""Content parts lie four levels deep in a chat body: deeper nesting holds no media that an engine would read."""

MOST_HEAD = 1024
"""Characters before the comma of a data: address."""

BASE64 = ";base64"


def check_media(body: Mapping[str, Any], domains: Sequence[str]) -> list[str]:
    """The addresses of `body` to fetch, each once. Raises ApiError 400 where one is neither inline data in base64 nor
    on one of `domains`."""
    found: dict[str, None] = {}
    for key in ("messages", "input"):
        for holder, name in _places(body.get(key), MOST_DEPTH):
            address = holder[name]
            if is_data(address):
                _require_base64(address, key)
                continue
            host = host_of(address)
            if host not in domains:
                raise _not_allowed(host, address, key)
            found[address] = None
    if len(found) > MOST_ADDRESSES:
        raise ApiError(400, f"the request names {len(found)} media by address; name at most {MOST_ADDRESSES}")
    return list(found)


def put_media(body: Mapping[str, Any], data: Mapping[str, str]) -> None:
    """Puts data: addresses, in place, where the addresses that are keys of `data` stand."""
    for key in ("messages", "input"):
        for holder, name in _places(body.get(key), MOST_DEPTH):
            holder[name] = data.get(holder[name], holder[name])


def is_data(address: str) -> bool:
    return address[:5].lower() == "data:"


def host_of(address: str) -> str:
    """The host as the HTTP client that fetches it reads it; '' where it would not be fetched."""
    if len(address) > MOST_ADDRESS or not ADDRESS.fullmatch(address):
        return ""
    try:
        return (URL(address).host or "").lower()
    except ValueError:
        return ""


def _not_allowed(host: str, address: str, param: str) -> ApiError:
    where = f"the host '{shortened(host)}'" if host else f"'{shortened(address, 40)}'"
    return ApiError(
        400,
        f"media from {where} may not be fetched; send it inline as a data: address, "
        "or let the fleet file's `media_domains` name the host",
        param=param,
        code="media_not_allowed",
    )


def _require_base64(address: str, param: str) -> None:
    comma = address.find(",", 0, MOST_HEAD)
    if comma < 0 or not address[:comma].endswith(BASE64):
        raise ApiError(
            400,
            f"'{shortened(address, 40)}' is not in base64; send media as data:image/png;base64,...",
            param=param,
            code="media_invalid",
        )


def _places(part: Any, depth: int) -> Iterator[tuple[dict[str, Any], str]]:
    """Where the addresses of media parts stand: {"image_url": {"url": ...}} and {"image_url": ...}."""
    if depth == 0:
        return
    if isinstance(part, list):
        for item in part:
            if isinstance(item, dict | list):
                yield from _places(item, depth - 1)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key in ADDRESSED:
                if isinstance(value, dict) and isinstance(value.get("url"), str):
                    yield value, "url"
                elif isinstance(value, str):
                    yield part, key
            elif isinstance(value, dict | list):
                yield from _places(value, depth - 1)
