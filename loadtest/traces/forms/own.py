"""This project's form: every field of a TraceRequest under its own name, those that are as by default left out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

from loadtest.traces.forms.base import count, ids, number
from loadtest.traces.rows import Row
from loadtest.traces.trace import ImageRef, TraceError, TraceRequest

_DEFAULTS = {field.name: field.default for field in fields(TraceRequest)}


class Own:
    name = "mixfleet"
    columns = frozenset({"at_s", "input_tokens", "output_tokens"})

    def request(self, row: Row) -> tuple[float, TraceRequest]:
        if unknown := row.keys() - _DEFAULTS.keys():
            raise TraceError(f"unknown columns {', '.join(sorted(unknown))}; known are {', '.join(_DEFAULTS)}")
        given: dict[str, Any] = {
            "at_s": 0.0,
            "input_tokens": count(row, "input_tokens"),
            "output_tokens": count(row, "output_tokens"),
            "images": tuple(_image(image) for image in _list(row.get("images") or [])),
            "audio_s": number(row, "audio_s") if row.get("audio_s") else 0.0,
            "session": _name(row, "session"),
            "model": _name(row, "model"),
            "blocks": ids(row["blocks"], "blocks") if row.get("blocks") else (),
        }
        if row.get("block_tokens"):
            given["block_tokens"] = count(row, "block_tokens")
        return number(row, "at_s"), TraceRequest(**given)


def jsonl(requests: Iterable[TraceRequest]) -> str:
    """The text of a file of this form."""
    return "".join(f"{json.dumps(_row(request))}\n" for request in requests)


def _row(request: TraceRequest) -> dict[str, Any]:
    return {key: value for key, value in asdict(request).items() if value != _DEFAULTS[key]}


def _list(given: Any) -> list[Any]:
    if not isinstance(given, list):
        raise TraceError(f"images is {given!r}, not a list")
    return given


def _image(given: Any) -> ImageRef:
    if not isinstance(given, dict) or not {"identity", "tokens"} <= given.keys() <= {f.name for f in fields(ImageRef)}:
        raise TraceError(f"image {given!r} must be an object with identity and tokens, and may have width and height")
    return ImageRef(**{key: count(given, key) for key in given})


def _name(row: Row, column: str) -> str | None:
    given = row.get(column)
    if given is not None and not isinstance(given, str):
        raise TraceError(f"{column} is {given!r}, not a name")
    return given or None
