"""POST /v1/audio/transcriptions and /v1/audio/translations: two names for the same work."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from deployments.engine.fake.answering import (
    DONE,
    answer_id,
    collect,
    finish_reason_at,
    json_response,
    sse,
    stream,
    usage_of,
)
from deployments.engine.fake.audio_upload import AudioUpload, read_upload
from deployments.engine.fake.batch import Sequence
from deployments.engine.fake.engine import ENGINE
from deployments.engine.fake.errors import EngineError, bad_body
from deployments.engine.fake.prompts import Prompt, audio_prompt
from deployments.engine.fake.requests import checked_limit
from deployments.engine.fake.tokenizer import decode, piece

_TRUE = frozenset({"true", "1", "on", "yes", "t", "y"})
_FALSE = frozenset({"false", "0", "off", "no", "f", "n", ""})


@dataclass(frozen=True)
class SpeechForm:
    """The form's fields that change the answer."""

    model: str | None
    language: str
    hint: str
    response_format: str
    stream: bool
    stream_include_usage: bool
    max_completion_tokens: int | None

    @classmethod
    def of(cls, fields: dict[str, str]) -> SpeechForm:
        """Raises EngineError for a value that is not one of its field's."""
        form = cls(
            model=fields.get("model"),
            language=fields.get("language") or "en",
            hint=fields.get("prompt", ""),
            response_format=fields.get("response_format", "json"),
            stream=_flag(fields, "stream"),
            stream_include_usage=_flag(fields, "stream_include_usage"),
            max_completion_tokens=checked_limit(_integer(fields, "max_completion_tokens"), "max_completion_tokens"),
        )
        if form.stream_include_usage and not form.stream:
            raise EngineError("Stream options can only be defined when `stream=True`.", param="stream_include_usage")
        if form.response_format not in ("text", "json", "verbose_json"):
            raise EngineError("Currently only support response_format: `text`, `json` or `verbose_json`")
        if form.response_format == "verbose_json" and form.stream:
            raise EngineError("verbose_json format doesn't support streaming case")
        return form


async def create_transcription(request: web.Request) -> web.StreamResponse:
    return await _create(request, "transcription")


async def create_translation(request: web.Request) -> web.StreamResponse:
    return await _create(request, "translation")


async def _create(request: web.Request, kind: str) -> web.StreamResponse:
    engine = request.app[ENGINE]
    upload = await read_upload(request)
    form = SpeechForm.of(upload.fields)
    engine.check_model(form.model)
    changed = asyncio.Event()
    sequence = engine.sequence(
        Prompt(audio_prompt(upload.digest, form.hint)),
        form.max_completion_tokens,
        changed,
        encode_s=upload.seconds / engine.config.speed.audio_seconds_per_s,
        streams=form.stream,
    )
    if form.stream:
        head = {
            "id": answer_id(request, "trsc" if kind == "transcription" else "trsl"),
            "object": f"{kind}.chunk",
            "created": int(time.time()),
            "model": form.model or engine.config.names[0],
        }
        return await stream(request, engine, [sequence], changed, SpeechFrames(head, form, sequence))
    await collect(request, engine, [sequence], changed)
    return json_response(_whole_answer(kind, upload, form, sequence))


def _whole_answer(kind: str, upload: AudioUpload, form: SpeechForm, sequence: Sequence) -> dict[str, Any]:
    text = decode(sequence.output)
    if form.response_format == "verbose_json":
        return {
            "duration": upload.seconds,
            "language": form.language,
            "text": text,
            "segments": [_segment(text, upload.seconds, sequence.output)],
            "words": None,
        }
    if kind == "translation":
        return {"text": text}
    return {"text": text, "usage": {"type": "duration", "seconds": math.ceil(upload.seconds)}}


def _segment(text: str, seconds: float, tokens: list[int]) -> dict[str, Any]:
    return {
        "id": 0,
        "avg_logprob": 0.0,
        "compression_ratio": 1.0,
        "end": seconds,
        "no_speech_prob": None,
        "seek": 0,
        "start": 0.0,
        "temperature": 0.0,
        "text": text,
        "tokens": tokens,
    }


class SpeechFrames:
    """One frame a token."""

    def __init__(self, head: dict[str, Any], form: SpeechForm, sequence: Sequence) -> None:
        self._head = head
        self._form = form
        self._sequence = sequence

    def token(self, index: int, sequence: Sequence, count: int) -> bytes:
        choice: dict[str, Any] = {"delta": {"content": piece(sequence.new_token(count))}}
        if reason := finish_reason_at(sequence, count):
            choice |= {"finish_reason": reason, "stop_reason": None}
        return sse({**self._head, "choices": [choice]})

    def closing(self) -> bytes:
        if not self._form.stream_include_usage:
            return DONE
        return sse({**self._head, "choices": [], "usage": usage_of([self._sequence])}) + DONE


def _flag(fields: dict[str, str], name: str) -> bool:
    value = fields.get(name, "").lower()
    if value not in _TRUE | _FALSE:
        raise bad_body(f"1 validation error: '{name}' should be a valid boolean, got '{value}'", f"body.{name}")
    return value in _TRUE


def _integer(fields: dict[str, str], name: str) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    try:
        return int(value)
    except ValueError as error:
        raise bad_body(
            f"1 validation error: '{name}' should be a valid integer, got '{value}'", f"body.{name}"
        ) from error
