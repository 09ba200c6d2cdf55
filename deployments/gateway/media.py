"""Which media a request may name by address: engines would fetch any, also from the cluster's own network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deployments.gateway.errors import ApiError

ADDRESSED = ("image_url", "audio_url", "video_url")
ADDRESS = re.compile(r"https?://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?(/[!#-\[\]-~]*)?", re.IGNORECASE)
"""Addresses that every parser reads alike: without a user, backslashes, spaces and letters outside ASCII. The engine
reads them with two parsers, urllib3's to check and yarl's to fetch."""

MOST_DEPTH = 8
"""Content parts lie four levels deep in a chat body: deeper nesting holds no media that an engine would read."""


def check_media(body: Mapping[str, Any], domains: Sequence[str]) -> None:
    """Raises ApiError 400 where a media part is neither inline data nor on one of `domains`."""
    for key in ("messages", "input"):
        for url in _addresses(body.get(key), MOST_DEPTH):
            if url[:5].lower() == "data:":
                continue
            found = ADDRESS.fullmatch(url)
            host = found["host"].strip("[]").lower() if found else ""
            if host not in domains:
                where = f"the host '{host[:100]}'" if host else f"'{url[:40]}'"
                raise ApiError(
                    400,
                    f"media from {where} may not be fetched; send it inline as a data: address, "
                    "or let the fleet file's `media_domains` name the host",
                    param=key,
                    code="media_not_allowed",
                )


def _addresses(part: Any, depth: int) -> Iterator[str]:
    """The addresses of media parts in OpenAI's shapes: {"image_url": {"url": ...}} and {"image_url": ...}."""
    if depth == 0:
        return
    if isinstance(part, list):
        for item in part:
            if isinstance(item, dict | list):
                yield from _addresses(item, depth - 1)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key in ADDRESSED:
                url = value.get("url") if isinstance(value, dict) else value
                if isinstance(url, str):
                    yield url
            elif isinstance(value, dict | list):
                yield from _addresses(value, depth - 1)
