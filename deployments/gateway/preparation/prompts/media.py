"""The media of a body, and the `uuid` that each part gets: engines trust it, so it is always the gateway's own.

A client that could choose a `uuid` could read or poison what is cached of another client's picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from uuid import uuid4

import msgspec

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.prompts.data_url import decode, is_inline
from deployments.gateway.preparation.prompts.pictures import size_of, why_refused

MEDIA_KEYS = frozenset(
    {
        "image_url",
        "image_pil",
        "image_embeds",
        "audio_url",
        "input_audio",
        "audio_embeds",
        "video_url",
        "video_embeds",
        "prompt_embeds",
    }
)
"""Fields of a content part that engines read media from."""

SIGNS = (b"_url", b"image_pil", b"_embeds", b"input_audio", b"uuid", rb"\u")
"""Of which JSON holds at least one where a field is in `MEDIA_KEYS` or an identity: the last one stands for any letter.
"""

PICTURE_TYPES = (None, "image_url", "input_image")
TEXT_TYPES = ("text", "input_text", "output_text", "refusal", "thinking")
"""Parts of these types are text to an engine, whatever else they hold, unless they have a `uuid`."""

PROCESSING = ("mm_processor_kwargs", "media_io_kwargs")
"""Fields of a body that change what an engine makes of the same bytes, and so what it caches under a `uuid`."""


@dataclass(frozen=True)
class Picture:
    """A picture of a body. `identity` is its part's `uuid`; `size` is (width, height), None where it is not known."""

    identity: str
    size: tuple[int, int] | None


def may_hold_media(raw: bytes) -> bool:
    """Whether a body of JSON has any media, or anything that may be one."""
    return any(sign in raw for sign in SIGNS)


def own_identities(body: dict[str, Any], salt: str) -> tuple[list[Picture], bool]:
    """Gives each media part of `body`, in place, the gateway's own `uuid`.

    A picture sent inline gets a digest of its bytes and `salt`, other inline media one of their text and `salt`. What
    lies behind an address may change, so such a part gets a `uuid` of this request alone: nothing of it is ever reused.

    Returns the pictures in order, and whether anything was changed. Raises ApiError 400 for a part that names a `uuid`
    and sends no media: it asks for what somebody else may have sent.
    """
    key = processing = b""
    pictures: list[Picture] = []
    changed = False
    for part in _parts(body.get("messages")):
        names = [name for name in part.keys() & MEDIA_KEYS if part[name] is not None]
        if not names:
            _refuse_bare_identity(part)
            continue
        if part.get("type") in TEXT_TYPES:
            changed |= part.pop("uuid", None) is not None
            continue
        if not key:
            key = blake2b(salt.encode(errors="surrogatepass")).digest()
            processing = msgspec.json.encode([body.get(name) for name in PROCESSING], order="sorted")
        picture = _identify(part, names, key, processing)
        part["uuid"] = picture.identity
        changed = True
        pictures.append(picture)
    for part in _responses_parts(body.get("input")):
        # That API's parts have no such field: without one the engine makes its own digest of what it gets.
        if not any(part.get(name) is not None for name in MEDIA_KEYS):
            _refuse_bare_identity(part)
        elif part.pop("uuid", None) is not None:
            changed = True
        address = part.get("image_url")
        data = decode(address) if isinstance(address, str) and is_inline(address) else None
        if data is not None:
            _refuse_unreadable(data, "input")
    return pictures, changed


def _identify(part: Mapping[str, Any], names: list[str], key: bytes, processing: bytes) -> Picture:
    value = part[names[0]]
    if len(names) > 1:
        return Picture(uuid4().hex, None)
    if names == ["image_url"] and part.get("type") in PICTURE_TYPES:
        address = value.get("url") if isinstance(value, dict) else value
        data = decode(address) if isinstance(address, str) and is_inline(address) else None
        if data is None:
            return Picture(uuid4().hex, None)
        _refuse_unreadable(data, "messages")
        return Picture(_digest(b"picture", key, processing, data), size_of(data))
    address = value.get("url") if isinstance(value, dict) and "url" in value else None
    address = value if isinstance(value, str) and names[0].endswith("_url") else address
    if address is not None and not (isinstance(address, str) and is_inline(address)):
        return Picture(uuid4().hex, None)
    sent = msgspec.json.encode([names[0], part.get("type"), value], order="sorted")
    return Picture(_digest(b"media", key, processing, sent), None)


def _digest(kind: bytes, key: bytes, processing: bytes, data: bytes) -> str:
    digest = blake2b(digest_size=16, key=key, person=b"mf." + kind)
    digest.update(len(processing).to_bytes(8, "big"))
    digest.update(processing)
    digest.update(data)
    return digest.hexdigest()


def _refuse_bare_identity(part: Mapping[str, Any]) -> None:
    if part.get("uuid") is not None:
        raise ApiError(
            400,
            "a content part names a `uuid` but sends no media; send the media itself, for example as a data: address",
            param="messages",
            code="media_missing",
        )


def _refuse_unreadable(data: bytes, param: str) -> None:
    """Raises ApiError 400 for a picture that every engine would fail on."""
    if reason := why_refused(data):
        raise ApiError(400, f"a picture cannot be used: {reason}", param=param, code="media_invalid")


def _parts(messages: Any) -> Iterator[dict[str, Any]]:
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            yield from _objects(message.get("content"))


def _responses_parts(items: Any) -> Iterator[dict[str, Any]]:
    for item in _objects(items):
        yield item
        for name in ("content", "output"):
            yield from _objects(item.get(name))


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
