"""The jobs of a preparation worker. Each parses bytes that a client sent, by code that may crash or never end."""

from __future__ import annotations

import mmap
import os
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from pybase64 import b64encode_as_string

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.media.fetching import FetchedMedia
from deployments.gateway.preparation.bodies.audio import Window, length_s
from deployments.gateway.preparation.bodies.body import write_all
from deployments.gateway.preparation.bodies.encoding import decode_body
from deployments.gateway.preparation.bodies.form_body import form_body
from deployments.gateway.preparation.bodies.json_body import (
    JsonSettings,
    MediaNeeded,
    PreparedJson,
    Source,
    prepare_json,
)
from deployments.gateway.preparation.engine_work import tokenise_as_engines_do
from deployments.gateway.preparation.prompts.preparing import BEING_LOADED, NOT_LOADED, no_renderer
from deployments.gateway.preparation.prompts.renderers import Renderer, Unrendered, load_renderer
from deployments.gateway.preparation.workers.refusal import Refusal
from deployments.routing.prompt import Prompt

Job = Callable[[Sequence[int], Any], Any]
"""Takes open file descriptors, which it does not close, and arguments. Arguments and result are what JSON can hold."""

MOST_PICTURES = 1000
MOST_KEYED_TOKENS = 2**17
"""Tokens of a prompt that the router sees. It makes keys of them on the event loop, looks for them and books them: up
to 3 ms for so many. What lies beyond is the same price at every replica."""

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


def find(source: Source) -> Renderer:
    """Raises Unrendered where there is none."""
    if not source.renderer:
        raise Unrendered(no_renderer(True, source.renderer))
    if source not in _renderers:
        raise Unrendered(BEING_LOADED)
    renderer = _renderers[source]
    if renderer is None:
        raise Unrendered(NOT_LOADED)
    return renderer


def audio_seconds(files: Sequence[int], _: Any = None) -> float | None:
    """Length of an audio file by its header. None where its format is not known."""
    (file,) = files
    with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as mapped:
        return length_s(Window(mapped, 0, len(mapped)))


class JsonResult(msgspec.Struct):
    """Attributes:
    prepared: without token ids, which are `token_ids` as an array of `TOKEN_TYPE`.
    changed: whether the body to send is in the second file instead of the first.
    media_needed: addresses without whose media the body cannot be prepared.
    """

    prepared: PreparedJson | None = None
    token_ids: memoryview = memoryview(b"")
    changed: bool = False
    refusal: Refusal | None = None
    media_needed: list[str] = []


class JsonArguments(msgspec.Struct):
    """Attributes:
    media: what was fetched for the body, in a fourth file.
    """

    settings: JsonSettings
    media: list[FetchedMedia] = []


def json_body(files: Sequence[int], arguments: Any) -> None:
    """Prepares the body in the first file. Writes a changed body to the second, and a JsonResult to the third."""
    given, changed, results, *fetched = files
    taken = msgspec.convert(arguments, JsonArguments)
    media = [_data_address(fetched[0], medium) for medium in taken.media]
    size = os.fstat(given).st_size
    with mmap.mmap(given, size, access=mmap.ACCESS_READ) as mapped:
        raw = mapped[:]
    try:
        prepared, sent = prepare_json(raw, taken.settings, find, media, tokenise_as_engines_do)
        result = _result(prepared)
        if sent is not raw:
            result.changed = True
            write_all(changed, sent)
    except MediaNeeded as needed:
        result = JsonResult(media_needed=needed.addresses)
    except ApiError as error:
        result = JsonResult(refusal=Refusal.of(error))
    write_all(results, msgspec.msgpack.encode(result))


def _data_address(file: int, medium: FetchedMedia) -> str:
    data = os.pread(file, medium.end - medium.start, medium.start)
    return f"data:{medium.media_type};base64,{b64encode_as_string(data)}"


def _result(prepared: PreparedJson) -> JsonResult:
    prompt = prepared.prompt
    if prompt is None:
        return JsonResult(prepared)
    if len(prompt.media) > MOST_PICTURES:
        prepared.prompt, prepared.unkeyed = None, "too many pictures"
        return JsonResult(prepared)
    media = tuple(medium for medium in prompt.media if medium.start + medium.tokens <= MOST_KEYED_TOKENS)
    prepared.prompt = replace(prompt, token_ids=(), media=media)
    return JsonResult(prepared, memoryview(array(TOKEN_TYPE, prompt.token_ids[:MOST_KEYED_TOKENS])))


def read_result(data: bytes) -> tuple[PreparedJson, bool]:
    """The prepared request, and whether its body was changed. Raises ApiError or MediaNeeded, as the job did."""
    result = msgspec.msgpack.decode(data, type=JsonResult)
    if result.media_needed:
        raise MediaNeeded(result.media_needed)
    if result.refusal:
        raise result.refusal.error()
    assert result.prepared is not None
    if result.prepared.prompt is not None:
        token_ids = array(TOKEN_TYPE)
        token_ids.frombytes(result.token_ids)
        result.prepared.prompt = Prompt(token_ids, result.prepared.prompt.media)
    return result.prepared, result.changed


JOBS: dict[str, Job] = {
    "audio_seconds": audio_seconds,
    "decode_body": decode_body,
    "form_body": form_body,
    "json_body": json_body,
}
