from __future__ import annotations

import json
from array import array
from email import message_from_bytes
from email.policy import HTTP
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.benchmarks.base import BadReply, DataError, Mode, Served
from loadtest.benchmarks.embedded_speech import write_speech
from loadtest.benchmarks.whisper import ALPHABET, Whisper, decode_transcript, encode_transcript


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    write_speech(folder)
    return folder


def test_a_response_is_int64_positions_in_the_alphabet() -> None:
    assert len(ALPHABET) == 42
    assert encode_transcript(" It's 9%, ok? ") == array("q", [9, 20, 27, 19, 0, 37, 39, 0, 15, 11]).tobytes()


@given(st.text())
def test_decoding_gives_the_letters_that_the_alphabet_has(text: str) -> None:
    decoded = decode_transcript(encode_transcript(text))
    assert decoded == "".join(c for c in text.lower().strip() if c in ALPHABET)


@given(st.text(alphabet=ALPHABET).map(str.strip))
def test_round_trip(text: str) -> None:
    assert decode_transcript(encode_transcript(text)) == text


def test_the_embedded_clips_are_a_manifest_as_mlcommons_writes_it(speech: Path) -> None:
    clips = Whisper().load(speech, Mode.PERFORMANCE)
    assert len(clips) == 5
    assert sum(clips.work(index) for index in range(5)) == pytest.approx(24.7, abs=0.1)
    assert clips.clips[1].transcript == "he was not an ill disposed young man"
    assert len(Whisper().load(speech / "dev-all-repack.json", Mode.PERFORMANCE, limit=2)) == 2


def test_perfect_answers_score_100(speech: Path) -> None:
    clips = Whisper().load(speech, Mode.ACCURACY)
    responses = {index: encode_transcript(clip.transcript.capitalize() + ".") for index, clip in enumerate(clips.clips)}
    score = clips.score(responses)
    assert (score.value, score.detail["words"]) == (100.0, 71)
    responses[1] = b""
    assert clips.score(responses).detail["errors"] == 8


def test_the_body_is_a_form_that_a_server_can_read(speech: Path) -> None:
    clips = Whisper().load(speech, Mode.PERFORMANCE)
    body = clips.body(0, Served("whisper-1"), Mode.PERFORMANCE)
    head = f"Content-Type: {Whisper.content_type}\r\n\r\n".encode()
    parts = {
        part.get_param("name", header="content-disposition"): part
        for part in message_from_bytes(head + body, policy=HTTP).iter_parts()
    }
    assert parts["model"].get_content().strip() == "whisper-1"
    assert parts["language"].get_content().strip() == "en"
    assert parts["stream_include_usage"].get_content().strip() == "true"
    assert parts["file"].get_payload(decode=True) == clips.clips[0].file.read_bytes()


def stream(*events: object) -> bytes:
    lines = [f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n" for event in events]
    return "".join(lines).encode()


def test_a_stream_gives_text_and_true_token_count() -> None:
    delta = [{"choices": [{"delta": {"content": text}}]} for text in (" He", " was", "")]
    usage = {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}}
    answer = Whisper().answer(stream(*delta, usage, "[DONE]"))
    assert (answer.text, answer.tokens) == ("He was", 3)
    assert decode_transcript(answer.data) == "he was"


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (b'{"text": "he was"}', "no count of generated tokens"),
        (stream({"choices": []}, "[DONE]"), "no count of generated tokens"),
        (stream({"error": {"message": "replica died"}}), "replica died"),
        (b"data: {broken\n\n", "not of OpenAI.s shape"),
    ],
)
def test_a_stream_without_a_usable_answer(reply: bytes, message: str) -> None:
    with pytest.raises(BadReply, match=message):
        Whisper().answer(reply)


def entry(**changes: object) -> dict[str, object]:
    return {"transcript": "a", "original_duration": 1.0, "files": [{"fname": "a.wav"}], **changes}


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("{", "not a readable JSON manifest"),
        ("[]", "empty or of another shape"),
        (json.dumps([{"transcript": "a"}]), "clip 0 lacks"),
        (json.dumps([entry(files=[])]), "clip 0 lacks"),
        (json.dumps([entry(original_duration="long")]), "clip 0 lacks"),
        (json.dumps([entry()]), r"a\.wav, which does not exist"),
    ],
)
def test_a_manifest_that_is_wrong_says_where(manifest: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(DataError, match=message):
        Whisper().load(tmp_path, Mode.PERFORMANCE)


def test_a_folder_without_one_manifest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found none"):
        Whisper().load(tmp_path, Mode.PERFORMANCE)
    with pytest.raises(DataError, match="no such file or folder"):
        Whisper().load(tmp_path / "absent", Mode.PERFORMANCE)
