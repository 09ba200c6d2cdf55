"""Multipart forms: where their parts lie in a body, by one parser that copies nothing."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header

from deployments.gateway.errors.error_object import ApiError

MOST_BOUNDARY = 256
"""Bytes. RFC 2046 allows 70; engines' parsers refuse more than 256."""

MOST_CONTENT_TYPE = 1000
"""Bytes. It is parsed on the event loop, which takes 6 ms for 8,000 semicolons."""

MOST_HEAD = 16 * 1024
"""Bytes of one part's headers."""

MOST_PARTS = 1000
"""As engines' parsers have it."""

NEWLINE, BLANK_LINE, LAST = b"\r\n", b"\r\n\r\n", b"--"
DISPOSITION = b"content-disposition"
HEADER = re.compile(rb"(?P<name>[!#$%&'*+\-.^_`|~0-9A-Za-z]+):(?P<value>[\t\x20-\x7e\x80-\xff]*)")


@dataclass(frozen=True)
class Part:
    """Attributes:
    name: of the form's field.
    head: its header lines as they came, each with its line end.
    start, end: of its value within the body.
    """

    name: str
    head: bytes
    start: int
    end: int


def boundary_of(content_type: bytes) -> bytes:
    """The boundary of a `Content-Type` header. Raises ApiError 400."""
    if len(content_type) > MOST_CONTENT_TYPE:
        raise ApiError(400, f"the Content-Type has more than {MOST_CONTENT_TYPE} bytes; send a shorter boundary")
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise ApiError(400, "send the audio as multipart/form-data with a `file` and a `model` field")
    if len(boundary) > MOST_BOUNDARY:
        raise ApiError(400, f"the multipart boundary has {len(boundary)} bytes; use at most 70")
    if NEWLINE[:1] in boundary or NEWLINE[1:] in boundary:
        raise ApiError(400, "the multipart boundary holds a line end; use letters and digits")
    return boundary


def parts_of(body: mmap.mmap, boundary: bytes) -> Iterator[Part]:
    """The parts of a form, in order. Raises ApiError 400 where it is malformed or not whole."""
    mark = b"--" + boundary
    position = len(NEWLINE) if body[: len(NEWLINE)] == NEWLINE else 0
    if body[position : position + len(mark)] != mark:
        raise _malformed("it does not begin with its boundary")
    position += len(mark)
    for _ in range(MOST_PARTS + 1):
        ending = body[position : position + 2]
        if ending == LAST:
            return
        if ending != NEWLINE:
            raise _malformed("its boundary is not followed by a line end") if len(ending) == 2 else _too_early()
        part = _part(body, position + len(NEWLINE), mark)
        yield part
        position = part.end + len(NEWLINE) + len(mark)
    raise _malformed(f"it has more than {MOST_PARTS} parts")


def _part(body: mmap.mmap, start: int, mark: bytes) -> Part:
    head_end = body.find(BLANK_LINE, start, start + MOST_HEAD)
    if head_end < 0:
        if len(body) - start < MOST_HEAD:
            raise _too_early()
        raise _malformed(f"the headers of a part have more than {MOST_HEAD} bytes")
    head = body[start : head_end + len(NEWLINE)]
    value_start = head_end + len(BLANK_LINE)
    return Part(_name(head), head, value_start, _value_end(body, value_start, NEWLINE + mark))


def _value_end(body: mmap.mmap, start: int, delimiter: bytes) -> int:
    """A delimiter ends a value only where a line end or the form's end follows it."""
    position = start
    while True:
        position = body.find(delimiter, position)
        if position < 0:
            raise _too_early()
        after = body[position + len(delimiter) : position + len(delimiter) + 2]
        if after in (NEWLINE, LAST) or len(after) < 2:
            return position
        position += 1


def _name(head: bytes) -> str:
    found: bytes | None = None
    for line in head[: -len(NEWLINE)].split(NEWLINE):
        header = HEADER.fullmatch(line)
        if header is None:
            raise _malformed("a part has a malformed header")
        if header["name"].lower() == DISPOSITION:
            if found is not None:
                raise _malformed("a part has two Content-Disposition headers")
            found = header["value"].strip()
    kind, options = parse_options_header(found or b"")
    if kind != b"form-data" or b"name" not in options:
        raise _malformed("a part has no `Content-Disposition: form-data` with a name")
    return options[b"name"].decode(errors="replace")


def _malformed(reason: str) -> ApiError:
    return ApiError(400, f"the multipart body is malformed: {reason}")


def _too_early() -> ApiError:
    return ApiError(400, "the multipart body ends too early; send all of it")
