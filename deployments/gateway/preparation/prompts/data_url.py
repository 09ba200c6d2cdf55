"""Inline media: base64 `data:` addresses, decoded so strictly that every decoder reads the same bytes in them."""

from __future__ import annotations

from binascii import Error

from pybase64 import b64decode, b64encode_as_string


def is_inline(address: str) -> bool:
    return address[:5].lower() == "data:"


def decode(address: str) -> bytes | None:
    """The bytes of a base64 `data:` address; None where it is anything else or not in strict base64.

    Lenient decoders skip what they do not know, each in its own way. An address that the engine might read differently
    must not get the identity of what only the gateway sees.
    """
    head, comma, _ = address[:1024].partition(",")
    if not comma or not head.endswith(";base64"):
        return None
    text = address[len(head) + 1 :]
    try:
        data: bytes = b64decode(text, validate=True)
    except (Error, ValueError):
        return None
    return data if data and b64encode_as_string(data) == text else None
