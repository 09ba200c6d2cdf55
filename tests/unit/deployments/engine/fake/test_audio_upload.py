from __future__ import annotations

import io
import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.engine.fake.audio_upload import wav_seconds


def wav(frames: int, rate: int = 16_000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(bytes(2 * channels * frames))
    return file.getvalue()


@given(st.integers(0, 5000), st.sampled_from([8000, 16_000, 44_100]), st.integers(1, 2))
def test_length_comes_from_the_header(frames: int, rate: int, channels: int) -> None:
    data = wav(frames, rate, channels)
    assert wav_seconds(data[:1000], len(data)) == pytest.approx(frames / rate)


def test_chunks_before_the_samples_are_skipped() -> None:
    data = wav(16_000)
    extra = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    assert wav_seconds(data[:12] + extra + data[12:], len(data) + len(extra)) == 1


def test_a_size_that_the_file_does_not_have_is_not_believed() -> None:
    data = wav(16_000)
    endless = data[:40] + b"\xff\xff\xff\xff" + data[44:]
    assert wav_seconds(endless, len(endless)) == 1
    assert wav_seconds(data, 44 + 16_000) == 0.5


@given(st.binary(max_size=64))
def test_other_bytes_are_no_recording(data: bytes) -> None:
    assert wav_seconds(data, len(data)) is None
    assert wav_seconds(b"RIFF\0\0\0\0WAVE" + data[:8], 20) is None
