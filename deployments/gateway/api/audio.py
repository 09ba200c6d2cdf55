"""Transcription and translation of audio uploads."""

from __future__ import annotations

from deployments.gateway.admission.limits import Unit
from deployments.gateway.api.openapi.operation import JSON, Body, Operation, streamed
from deployments.gateway.api.openapi.schemas import STRING, Schema, array, described, one_of, record
from deployments.gateway.api.route import SPEECH, ModelRoute, model_route
from deployments.gateway.preparation.bodies.readers import read_audio_upload
from deployments.gateway.request.fields import SPEECH as SPEECH_FIELDS
from deployments.gateway.request.fields import names
from deployments.gateway.request.route_bodies import RouteBodies

FILE = described({"type": "string", "format": "binary", "minLength": 1}, "FLAC, MP3, MP4, Ogg, WAV, WebM, ...")
FIELDS: dict[str, Schema] = {
    "file": FILE,
    "prompt": described(STRING, "A text in whose style the transcript begins."),
    "response_format": one_of("json", "text", "srt", "verbose_json", "vtt", "diarized_json"),
    "timestamp_granularities": array(one_of("word", "segment")),
    "timestamp_granularities[]": array(one_of("word", "segment")),
}
TRANSCRIPT = record({"text": STRING})
EVENTS = "a `transcription.chunk` or `translation.chunk`. `[DONE]` is the end."


def _route(bodies: RouteBodies, summary: str) -> ModelRoute:
    body = Body(FIELDS, required=("file",), example={"file": "speech.wav"}, form=True)
    operation = Operation({JSON: TRANSCRIPT, **streamed(EVENTS)}, body)
    return model_route(bodies, summary, SPEECH, read_audio_upload, operation)


TRANSCRIPTIONS = RouteBodies(
    path="/v1/audio/transcriptions",
    unit=Unit.AUDIO,
    fields=SPEECH_FIELDS | names("timestamp_granularities timestamp_granularities[]"),
)
TRANSLATIONS = RouteBodies(path="/v1/audio/translations", unit=Unit.AUDIO, fields=SPEECH_FIELDS)

ROUTES = (
    _route(TRANSCRIPTIONS, "Transcription of an audio file"),
    _route(TRANSLATIONS, "English translation of an audio file"),
)
