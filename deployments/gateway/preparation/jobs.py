"""The jobs of a preparation worker. Each parses bytes that a client sent, by code that may crash or never end."""

from __future__ import annotations

import mmap
import os
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import soundfile

from deployments.gateway.errors import ApiError
from deployments.gateway.preparation.body import write_all
from deployments.gateway.preparation.json_body import JsonSettings, PreparedJson, Source, prepare_json
from deployments.gateway.prompts.preparing import BEING_LOADED, NOT_LOADED, no_renderer, require_prompts
from deployments.gateway.prompts.renderers import Renderer, Unrendered, load_renderer
from deployments.routing.prompt import Prompt

Job = Callable[[Sequence[int], Any], Any]
"""Takes open file descriptors, which it does not close, and arguments. Arguments and result are what JSON can hold."""

MOST_PICTURES = 1000
TOKEN_TYPE = "Q"
"""Of token ids in a result: what keys are made of."""

_renderers: dict[Source, Renderer | None] = {}


def load(source: Source) -> str:
    """Loads a renderer for all workers that are forked from now on. Returns '' or why it failed."""
    try:
        _renderers[source] = load_renderer(source.renderer, source.checkpoint, source.revision)
    except Exception as error:  # transformers and the hub fail in many ways; requests flow on without prompts
        _renderers[source] = None
        return f"{type(error).__name__}: {error}"[:500]
    return ""


def find(source: Source, route: str) -> Renderer:
    """Raises Unrendered where there is none."""
    if not source.renderer:
        raise Unrendered(no_renderer(True, source.renderer))
    require_prompts(route)
    if source not in _renderers:
        raise Unrendered(BEING_LOADED)
    renderer = _renderers[source]
    if renderer is None:
        raise Unrendered(NOT_LOADED)
    return renderer


def audio_seconds(files: Sequence[int], _: Any = None) -> float | None:
    """Length of an audio file by its header. None where libsndfile does not know the format: the engine may."""
    (file,) = files
    try:
        with soundfile.SoundFile(file, closefd=False) as sound:
            return float(sound.frames / sound.samplerate) if sound.samplerate and sound.frames > 0 else None
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError):
        return None


class Refusal(msgspec.Struct):
    """An ApiError on its way out of a worker."""

    status: int
    message: str
    param: str | None
    code: str | None


class JsonResult(msgspec.Struct):
    """Attributes:
    prepared: without token ids, which are `token_ids` as an array of `TOKEN_TYPE`.
    changed: whether the body to send is in the second file instead of the first.
    """

    prepared: PreparedJson | None = None
    token_ids: bytes = b""
    changed: bool = False
    refusal: Refusal | None = None


def json_body(files: Sequence[int], arguments: Any) -> None:
    """Prepares the body in the first file. Writes a changed body to the second, and a JsonResult to the third."""
    given, changed, results = files
    settings = msgspec.convert(arguments, JsonSettings)
    size = os.fstat(given).st_size
    with mmap.mmap(given, size, access=mmap.ACCESS_READ) as mapped:
        raw = mapped[:]
    try:
        prepared, sent = prepare_json(raw, settings, find)
        result = _result(prepared)
        if sent is not raw:
            result.changed = True
            write_all(changed, sent)
    except ApiError as error:
        result = JsonResult(refusal=Refusal(error.status, error.message[:1000], error.param, error.code))
    write_all(results, msgspec.msgpack.encode(result))


def _result(prepared: PreparedJson) -> JsonResult:
    prompt = prepared.prompt
    if prompt is None:
        return JsonResult(prepared)
    if len(prompt.media) > MOST_PICTURES:
        prepared.prompt, prepared.unkeyed = None, "too many pictures"
        return JsonResult(prepared)
    prepared.prompt = replace(prompt, token_ids=())
    return JsonResult(prepared, array(TOKEN_TYPE, prompt.token_ids).tobytes())


def read_result(data: bytes) -> tuple[PreparedJson, bool]:
    """The prepared request, and whether its body was changed. Raises the ApiError that the job raised."""
    result = msgspec.msgpack.decode(data, type=JsonResult)
    if result.refusal:
        refusal = result.refusal
        raise ApiError(refusal.status, refusal.message, param=refusal.param, code=refusal.code)
    assert result.prepared is not None
    if result.prepared.prompt is not None:
        token_ids = array(TOKEN_TYPE)
        token_ids.frombytes(result.token_ids)
        result.prepared.prompt = Prompt(token_ids, result.prepared.prompt.media)
    return result.prepared, result.changed


JOBS: dict[str, Job] = {"audio_seconds": audio_seconds, "json_body": json_body}
