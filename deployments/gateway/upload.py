"""Multipart uploads: spooled whole (memory, then a file) before a replica is chosen, so that they can be sent again."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator
from typing import IO

import python_multipart
from aiohttp import web
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header

from deployments.gateway.errors import ApiError
from deployments.gateway.preparation.body import CHUNK, check_length, too_large
from deployments.gateway.preparation.byte_budget import ByteClaim
from deployments.gateway.preparation.json_body import model_name
from deployments.gateway.preparation.preparer import Preparer
from deployments.gateway.requests import ParsedRequest
from deployments.routing import Request
from deployments.routing.work import audio_seconds

IN_MEMORY = 2**20
FORM_OVERHEAD = 2**20
"""Bytes that the fields beside the file may take: prompts are short."""

MOST_FIELD = 256 * 1024


class _Form:
    """Push parser of one multipart body: keeps the small fields, and spools the file."""

    def __init__(self, boundary: bytes, most_file: int) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        """Head and value of every part but the file."""
        self.values: dict[str, str] = {}
        self.file = tempfile.SpooledTemporaryFile[bytes](IN_MEMORY)
        self.file_head: bytes | None = None
        self.file_size = 0
        self.finished = False
        self.boundary = secrets.token_hex(16).encode()
        """Of the body that is sent on: not to be guessed, so that no file can end its own part."""
        self._most_file = most_file
        self._beside_file = 0
        self._name, self._head, self._value = "", bytearray(), bytearray()
        self._header, self._header_value = b"", b""
        self._parser = python_multipart.MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_data,
                "on_header_end": self._header_end,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
        )

    def write(self, data: bytes) -> None:
        """Takes the next piece of the body. Raises MultipartParseError, or ApiError 413."""
        self._parser.write(data)

    @property
    def _is_file(self) -> bool:
        return self._name == "file"

    def _begin(self) -> None:
        self._name, self._head, self._value = "", bytearray(), bytearray()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_data(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_end(self) -> None:
        if len(self._head) > MOST_FIELD:
            raise too_large("a form part's head", MOST_FIELD)
        self._head += self._header + b": " + self._header_value + b"\r\n"
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._header_value)
            self._name = options.get(b"name", b"").decode(errors="replace")
        self._header = self._header_value = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self.file_size += end - start
            if self.file_size > self._most_file:
                raise too_large("an audio file", self._most_file)
            self.file.write(data[start:end])
        else:
            self._beside_file += end - start
            if len(self._value) + end - start > MOST_FIELD:
                raise too_large(f"form field '{self._name}'", MOST_FIELD)
            if self._beside_file > FORM_OVERHEAD:
                raise too_large("all fields beside the file", FORM_OVERHEAD)
            self._value += data[start:end]

    def _end(self) -> None:
        if not self._is_file:
            self.fields.append((bytes(self._head), bytes(self._value)))
            self.values[self._name] = self._value.decode(errors="replace")
        elif self.file_head is not None:
            raise ApiError(400, "the form has two `file` parts; send one", param="file")
        else:
            self.file_head = bytes(self._head)

    def _finish(self) -> None:
        self.finished = True

    def before_file(self) -> bytes:
        """The body to send on, up to the file's first byte."""
        mark = b"--%b\r\n" % self.boundary
        parts = b"".join(b"%b%b\r\n%b\r\n" % (mark, head, value) for head, value in self.fields)
        return b"%b%b%b\r\n" % (parts, mark, self.file_head or b"")

    def after_file(self) -> bytes:
        return b"\r\n--%b--\r\n" % self.boundary


async def read_upload(
    request: web.Request, preparer: Preparer, most_file: int, claim: ByteClaim, tenant: str = ""
) -> ParsedRequest:
    """Spools a multipart body. Raises ApiError 400, 413 or 503 where it cannot be used."""
    check_length(request, most_file + FORM_OVERHEAD, "an upload")
    claim.promise(request.content_length)
    # As the bytes it came in: the parser would encode text as Latin-1, which not every boundary is.
    kind, options = parse_options_header(request.headers.get("Content-Type", "").encode("utf-8", "surrogateescape"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise ApiError(400, "send the audio as multipart/form-data with a `file` and a `model` field")
    form = _Form(boundary, most_file)
    try:
        await _spool(request, form, most_file, claim)
        model = model_name(form.values.get("model"))
        seconds = await preparer.audio_seconds(form.file, tenant)
    except BaseException:
        form.file.close()
        raise
    audio_s = audio_seconds(seconds, form.file_size)
    before, after = form.before_file(), form.after_file()
    return ParsedRequest(
        model=model,
        request=Request(audio_s=audio_s, streams=False),
        amount=audio_s,
        body=lambda: _body(before, form.file, after),
        length=len(before) + form.file_size + len(after),
        content_type=f"multipart/form-data; boundary={form.boundary.decode()}",
        close=form.file.close,
    )


async def _spool(request: web.Request, form: _Form, most_file: int, claim: ByteClaim) -> None:
    length = 0
    try:
        async for piece in request.content.iter_any():
            length += len(piece)
            if length > most_file + FORM_OVERHEAD:
                raise too_large("an upload", most_file)
            claim.arrive(len(piece))
            if length > IN_MEMORY:
                await asyncio.to_thread(form.write, piece)
            else:
                form.write(piece)
    except MultipartParseError as error:
        raise ApiError(400, f"the multipart body is malformed: {error}") from None
    if not form.finished:
        raise ApiError(400, "the multipart body ends too early; send all of it")
    if form.file_head is None:
        raise ApiError(400, "the form has no `file`; send the audio there", param="file")
    if not form.file_size:
        raise ApiError(400, "the audio file is empty", param="file")


async def _body(before: bytes, file: IO[bytes], after: bytes) -> AsyncIterator[bytes]:
    """The body from its start, for one attempt."""
    yield before
    file.seek(0)
    while piece := file.read(CHUNK):  # from the page cache: it was written a moment ago
        yield piece
    yield after
