"""Clips of speech to be transcribed, with lengths as of read English (LibriSpeech: 12 s on average, most under 30)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

from pydantic import Field

from loadtest.traces.generators.base import Settings
from loadtest.traces.generators.draws import arrivals
from loadtest.traces.trace import TraceRequest


class AudioSettings(Settings):
    spread: float = Field(0.6, ge=0, le=3, description="sigma of the lognormal lengths; 0: all alike")
    seconds: float = Field(12.0, gt=0, le=3600, description="median length of a clip")
    longest: float = Field(30.0, gt=0, le=3600, description="longer ones are cut to this")
    tokens: float = Field(3.3, gt=0, le=50, description="tokens spoken in a second")


class Audio:
    settings = AudioSettings

    def requests(self, settings: AudioSettings, rng: Random) -> Iterator[TraceRequest]:
        arrive = arrivals(settings, rng)
        for _ in range(settings.count):
            drawn = settings.seconds * math.exp(rng.gauss(0.0, settings.spread))
            seconds = round(min(settings.longest, max(0.1, drawn)), 2)
            yield TraceRequest(arrive(), 0, max(1, round(seconds * settings.tokens)), audio_s=seconds)
