"""An audio route's multipart body becomes what is sent on: its fields, the file's place, and a boundary of our own."""

from __future__ import annotations

import mmap
import os
import secrets
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.bodies.audio import Window, length_s
from deployments.gateway.preparation.bodies.body import too_large, write_all
from deployments.gateway.preparation.bodies.form import Part, parts_of
from deployments.gateway.preparation.bodies.json_body import model_name
from deployments.gateway.preparation.workers.refusal import Refusal
from deployments.gateway.request.fields import header_value, is_known, refuse_unknown
from deployments.gateway.request.route_bodies import RouteBodies

FORM_OVERHEAD = 2**20
"""Bytes that everything beside the file may take: prompts are short."""

MOST_FIELD = 256 * 1024
"""Bytes of one field's value."""

FILE, MODEL, SEQUENCES = "file", "model", "n"

MOST_SEQUENCES = 1000
"""Beams of one upload. Each is a sequence in an engine."""


class FormSettings(msgspec.Struct):
    """Attributes:
    boundary: in the body, as latin-1 text.
    most_file: bytes that the audio file may have.
    unknown_fields: what becomes of fields that engines lack, or that are not the client's to set.
    """

    boundary: str
    most_file: int
    route: RouteBodies
    unknown_fields: Literal["drop", "refuse"] = "drop"


class PreparedForm(msgspec.Struct):
    """Attributes:
    boundary: of the body that is sent on. It is random, so that no file can end its own part.
    start, end: of the audio file within the received body.
    seconds: of audio that the file's header claims; None where its format is not known.
    unknown_fields: those that were dropped, as a header lists them.
    sequences: that the engine may compute for it, by the largest `n`.
    """

    model: str
    boundary: str
    start: int
    end: int
    seconds: float | None = None
    unknown_fields: str = ""
    sequences: int = 1


class FormResult(msgspec.Struct):
    """Either a form or why it was refused."""

    form: PreparedForm | None = None
    refusal: Refusal | None = None


def form_body(files: Sequence[int], arguments: Any) -> Any:
    """Prepares the form in the first file. Writes what is sent before the audio to the second. Returns a FormResult."""
    body, before = files
    settings = msgspec.convert(arguments, FormSettings)
    try:
        if not os.fstat(body).st_size:
            raise ApiError(400, "the multipart body is empty, or ends too early; send all of it")
        with mmap.mmap(body, 0, access=mmap.ACCESS_READ) as mapped:
            form = _prepare(mapped, settings, before)
    except ApiError as error:
        return msgspec.to_builtins(FormResult(refusal=Refusal.of(error)))
    return msgspec.to_builtins(FormResult(form))


def _prepare(mapped: mmap.mmap, settings: FormSettings, before: int) -> PreparedForm:
    boundary = secrets.token_hex(16)
    mark = f"--{boundary}\r\n".encode()
    file: Part | None = None
    model: str | None = None
    beside = 0
    unknown: list[str] = []
    sequences = 1
    for part in parts_of(mapped, settings.boundary.encode("latin-1")):
        size = part.end - part.start
        if part.name == FILE:
            if file is not None:
                raise ApiError(400, "the form has two `file` parts; send one", param=FILE)
            _check_file(size, settings.most_file)
            file = part
            continue
        beside += len(part.head) + size
        _check_field(part.name, size, beside)
        if not is_known(settings.route.fields, part.name):
            unknown.append(part.name)
            continue
        value = mapped[part.start : part.end]
        if part.name == MODEL:
            if model is not None:
                raise ApiError(400, "the form has two `model` fields; send one", param=MODEL)
            model = value.decode(errors="replace")
        if part.name == SEQUENCES:
            sequences = max(sequences, _sequences(value))
        write_all(before, b"%b%b\r\n%b\r\n" % (mark, part.head, value))
    if file is None:
        raise ApiError(400, "the form has no `file`; send the audio there", param=FILE)
    if settings.unknown_fields == "refuse":
        refuse_unknown(settings.route.path, unknown)
    write_all(before, b"%b%b\r\n" % (mark, file.head))
    seconds = length_s(Window(mapped, file.start, file.end))
    names = header_value(dict.fromkeys(unknown))
    return PreparedForm(model_name(model), boundary, file.start, file.end, seconds, names, sequences)


def _sequences(value: bytes) -> int:
    if not value.isdigit() or len(value) > 4 or not 1 <= int(value) <= MOST_SEQUENCES:
        raise ApiError(400, f"`n` is no integer from 1 to {MOST_SEQUENCES}; send one", param=SEQUENCES)
    return int(value)


def _check_file(size: int, most: int) -> None:
    if size > most:
        raise too_large("an audio file", most)
    if not size:
        raise ApiError(400, "the audio file is empty", param=FILE)


def _check_field(name: str, size: int, beside: int) -> None:
    if size > MOST_FIELD:
        raise too_large(f"form field '{name[:100]}'", MOST_FIELD)
    if beside > FORM_OVERHEAD:
        raise too_large("all fields beside the file", FORM_OVERHEAD)
