"""Transcription and translation of audio uploads."""

from __future__ import annotations

from deployments.gateway.api.route import SPEECH, model_route
from deployments.gateway.limits import Unit
from deployments.gateway.preparation.readers import read_audio_upload

ROUTES = (
    model_route("/v1/audio/transcriptions", "Transcription of an audio file", SPEECH, read_audio_upload, Unit.AUDIO),
    model_route(
        "/v1/audio/translations", "English translation of an audio file", SPEECH, read_audio_upload, Unit.AUDIO
    ),
)
