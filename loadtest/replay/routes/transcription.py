"""POST /v1/audio/transcriptions: a WAV file of the trace's length."""

from __future__ import annotations

from loadtest.benchmarks.whisper import BOUNDARY, multipart
from loadtest.replay.contents import Contents
from loadtest.replay.routes.base import Asked
from loadtest.traces.trace import TraceRequest


class Transcription:
    """How long a transcript is depends on what is heard: the trace's output length is only its limit."""

    path = "/v1/audio/transcriptions"
    content_type = f"multipart/form-data; boundary={BOUNDARY}"

    def spare(self, context: int) -> int:
        return 0

    def body(self, request: TraceRequest, number: int, asked: Asked, contents: Contents) -> bytes:
        fields = {
            "model": asked.model,
            "language": "en",
            "temperature": "0",
            "response_format": "json",
            "max_completion_tokens": str(request.output_tokens),
            "stream": "true",
            "stream_include_usage": "true",
        }
        return multipart(fields, "clip.wav", contents.clip(request.audio_s, number))
