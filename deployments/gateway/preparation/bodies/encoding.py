"""Bodies that are sent compressed: decoded in a preparation worker, never by aiohttp's server on the event loop."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from multidict import CIMultiDictProxy

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.bodies.body import CHUNK, too_large, write_all
from deployments.gateway.preparation.workers.refusal import Refusal

MOST_EXPANSION = 1032
"""Bytes that one byte of DEFLATE becomes at most."""

GZIP_WINDOW, ZLIB_WINDOW, RAW_WINDOW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
DEFLATE_METHOD = 8


def content_encoding(headers: CIMultiDictProxy[str]) -> str:
    """The one encoding of a body; '' for none. Raises ApiError 415 for one that is not decoded here."""
    sent = ",".join(headers.getall("Content-Encoding", []))
    names = [name for name in (word.strip().lower() for word in sent.split(",")) if name not in ("", "identity")]
    if not names:
        return ""
    (name, *others) = names
    if others or name not in WINDOWS:
        raise ApiError(
            415,
            f"a body with Content-Encoding '{', '.join(names)[:100]}' is not decoded; "
            f"send it as it is, or with one of {', '.join(ENCODINGS)}",
            code="unsupported_encoding",
            headers={"Accept-Encoding": ", ".join(ENCODINGS)},
        )
    return name


def most_decoded(size: int, most: int) -> int:
    """Bytes that `size` encoded ones may become before they are refused."""
    return min(most, size * MOST_EXPANSION)


class DecodeSettings(msgspec.Struct):
    """Attributes:
    encoding: a key of `WINDOWS`.
    most: bytes that the decoded body may have.
    what: a name of the body for messages.
    """

    encoding: str
    most: int
    what: str


class DecodeResult(msgspec.Struct):
    """The refusal of a body that could not be decoded; None where it was."""

    refusal: Refusal | None = None


def decode_body(files: Sequence[int], arguments: Any) -> Any:
    """Decodes the first file into the second. Returns a DecodeResult."""
    source, target = files
    settings = msgspec.convert(arguments, DecodeSettings)
    try:
        _decode(source, target, settings)
    except zlib.error as error:
        message = f"{settings.what} says Content-Encoding '{settings.encoding}' and is none: {error}"
        return msgspec.to_builtins(DecodeResult(Refusal(400, message, code="invalid_encoding")))
    except ApiError as error:
        return msgspec.to_builtins(DecodeResult(Refusal.of(error)))
    return msgspec.to_builtins(DecodeResult())


def _decode(source: int, target: int, settings: DecodeSettings) -> None:
    position = decoded = 0
    window = WINDOWS[settings.encoding](os.pread(source, 2, 0))
    decoder = zlib.decompressobj(window)
    while data := os.pread(source, CHUNK, position):
        position += len(data)
        while data:
            if decoder.eof:  # several gzip members in a row are one file
                if window != GZIP_WINDOW:
                    raise zlib.error("bytes follow its end")
                decoder = zlib.decompressobj(window)
            piece = decoder.decompress(data, CHUNK)
            decoded += len(piece)
            if decoded > settings.most:
                raise too_large(settings.what, settings.most)
            write_all(target, piece)
            data = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
    if not decoder.eof:
        raise zlib.error("it ends too early")


def _deflate_window(head: bytes) -> int:
    """RFC 9110 says zlib's format; some clients send DEFLATE without zlib's header."""
    return ZLIB_WINDOW if head and head[0] & 15 == DEFLATE_METHOD else RAW_WINDOW


WINDOWS: dict[str, Callable[[bytes], int]] = {
    "gzip": lambda head: GZIP_WINDOW,
    "x-gzip": lambda head: GZIP_WINDOW,
    "deflate": _deflate_window,
}
"""The encodings that are decoded -> zlib's window bits for a body that begins with two bytes."""

ENCODINGS = ("gzip", "deflate")
