from __future__ import annotations

import io
import time
import wave
from typing import Any

import pytest
from aiohttp import FormData

TRANSCRIPTIONS = "/v1/audio/transcriptions"
TRANSLATIONS = "/v1/audio/translations"


def recording(seconds: float, level: int = 0) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(level.to_bytes(2, "little") * int(16_000 * seconds))
    return file.getvalue()


def form(file: bytes | None, **fields: str) -> FormData:
    data = FormData()
    for name, value in fields.items():
        data.add_field(name, value, content_type="text/plain")
    if file is not None:
        data.add_field("file", file, filename="speech.wav", content_type="audio/wav")
    return data


def text_as_file() -> FormData:
    data = FormData(default_to_multipart=True)
    data.add_field("file", "text")
    return data


async def transcript(engine: Any, path: str, data: FormData) -> Any:
    async with engine.client.post(path, data=data) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def test_the_same_recording_gives_the_same_words(serve: Any) -> None:
    engine = await serve(task="transcription")
    one = await transcript(engine, TRANSCRIPTIONS, form(recording(1.5), model="fake"))
    again = await transcript(engine, TRANSCRIPTIONS, form(recording(1.5), response_format="text"))
    other = await transcript(engine, TRANSCRIPTIONS, form(recording(1.5, level=9)))
    assert one == again
    assert one["text"] != other["text"]
    assert one["usage"] == {"type": "duration", "seconds": 2}


async def test_verbose_json_has_segments_and_the_length(serve: Any) -> None:
    engine = await serve(task="transcription")
    answer = await transcript(
        engine, TRANSCRIPTIONS, form(recording(2.25), response_format="verbose_json", language="de")
    )
    assert (answer["duration"], answer["language"]) == (2.25, "de")
    (segment,) = answer["segments"]
    assert (segment["start"], segment["end"], segment["text"]) == (0, 2.25, answer["text"])


async def test_translations_have_the_words_alone(serve: Any) -> None:
    engine = await serve(task="transcription")
    assert list(await transcript(engine, TRANSLATIONS, form(recording(1)))) == ["text"]


@pytest.mark.parametrize(
    ("path", "kind"), [(TRANSCRIPTIONS, "transcription.chunk"), (TRANSLATIONS, "translation.chunk")]
)
async def test_a_stream_gives_the_same_words(serve: Any, path: str, kind: str) -> None:
    engine = await serve(task="transcription")
    whole = await transcript(engine, path, form(recording(1)))
    *chunks, usage, done = await engine.events(
        path, data=form(recording(1), stream="true", stream_include_usage="true")
    )
    assert done == "[DONE]"
    assert usage["usage"]["completion_tokens"] == len(chunks) == 16
    assert {chunk["object"] for chunk in chunks} == {kind}
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == whole["text"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


async def test_work_is_seconds_of_audio(serve: Any) -> None:
    engine = await serve(task="transcription", audio_seconds_per_s=40)
    start = time.monotonic()
    await transcript(engine, TRANSCRIPTIONS, form(recording(4)))
    assert 0.1 <= time.monotonic() - start < 4


async def test_a_large_upload(serve: Any) -> None:
    engine = await serve(task="transcription", audio_seconds_per_s=1e9)
    seconds = 24 * 2**20 / 32_000
    answer = await transcript(engine, TRANSCRIPTIONS, form(recording(seconds), response_format="verbose_json"))
    assert answer["duration"] == pytest.approx(seconds, abs=1e-3)


@pytest.mark.parametrize(
    ("data", "status", "message"),
    [
        (lambda: form(None, model="fake"), 400, "'file' is missing"),
        (lambda: form(b""), 400, "Invalid or unsupported audio file."),
        (lambda: text_as_file(), 422, "Expected 'file' to be a file-like object"),
        (lambda: form(bytes(25 * 2**20 + 1)), 400, "Maximum file size exceeded"),
        (lambda: form(b"x", model="nobody"), 404, "The model `nobody` does not exist"),
        (lambda: form(b"x", stream="perhaps"), 400, "'stream' should be a valid boolean"),
        (lambda: form(b"x", max_completion_tokens="-3"), 400, "must be at least 1, got -3"),
        (lambda: form(b"x", max_completion_tokens="few"), 400, "should be a valid integer"),
        (lambda: form(b"x", response_format="srt"), 400, "Currently only support response_format"),
        (lambda: form(b"x", response_format="verbose_json", stream="1"), 400, "doesn't support streaming"),
        (lambda: form(b"x", stream_include_usage="true"), 400, "Stream options can only be defined"),
        (lambda: form(b"x", prompt="y" * 70_000), 400, "longer than"),
    ],
)
async def test_bad_uploads(serve: Any, data: Any, status: int, message: str) -> None:
    engine = await serve(task="transcription")
    code, error = await engine.error(TRANSCRIPTIONS, data=data())
    assert code == status
    assert message in error["message"]
    assert engine.engine.batch.counters.accepted == 0


async def test_a_body_that_is_no_form(serve: Any) -> None:
    engine = await serve(task="transcription")
    status, error = await engine.error(TRANSCRIPTIONS, json={"file": "x"})
    assert (status, error["param"]) == (400, "body.file")
    headers = {"Content-Type": "multipart/form-data; boundary=here"}
    status, _ = await engine.error(TRANSCRIPTIONS, data=b"--there\r\nnonsense", headers=headers)
    assert status == 400
