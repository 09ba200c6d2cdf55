from __future__ import annotations

import json

import pytest

from loadtest.replay.contents import Contents, Vocabulary
from loadtest.replay.jobs import Plan, Workshop
from loadtest.replay.target import Model, Target
from loadtest.traces.trace import ImageRef, Trace, TraceRequest

KNOWN = Vocabulary(tuple(range(64, 128)), 1.0)
MODELS = (
    Model("oss", ("oss",), "chat", 1024),
    Model("vl", ("vl",), "vision-chat", 1024),
    Model("whisper", ("whisper",), "transcription", 448),
)
TEXT = TraceRequest(0.0, 500, 40, (1, 2), 16, session="s")
PICTURE = TraceRequest(0.0, 100, 40, (1,), 16, images=(ImageRef(1, 4, 64, 64),))
SPEECH = TraceRequest(0.0, 0, 40, audio_s=1.0)


@pytest.fixture
def vocabulary(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Models whose tokenizer was asked."""
    asked: list[str] = []

    def told(url: str, model: str, headers: object) -> Vocabulary:
        asked.append(model)
        return KNOWN if model != "silent" else Vocabulary()

    monkeypatch.setattr("loadtest.replay.jobs.ask_vocabulary", told)
    return asked


def workshop(*models: Model, **plan: object) -> Workshop:
    return Workshop(Plan(Target("http://fleet", models), {"Authorization": "Bearer k"}, Contents(0), **plan))  # type: ignore[arg-type]


def test_text_is_asked_by_token_ids(vocabulary: list[str]) -> None:
    shop = workshop(*MODELS)
    (job,) = shop.jobs(Trace("t", (TEXT,)))
    sending = shop.sending(job)
    body = json.loads(sending.body)
    assert sending.url == "http://fleet/v1/completions"
    assert sending.headers == {
        "Content-Type": "application/json",
        "x-session-id": "s",
        "Authorization": "Bearer k",
    }
    assert len(body.pop("prompt")) == 500
    assert body == {
        "model": "oss",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 40,
        "temperature": 0,
        "ignore_eos": True,
    }


def test_pictures_lie_between_what_is_shared_and_what_is_not(vocabulary: list[str]) -> None:
    shop = workshop(*MODELS, whole_answers=False)
    (job,) = shop.jobs(Trace("t", (PICTURE,)))
    sending = shop.sending(job)
    body = json.loads(sending.body)
    assert sending.url == "http://fleet/v1/chat/completions"
    assert body["model"] == "vl"
    assert "ignore_eos" not in body
    (message,) = body["messages"]
    assert [part["type"] for part in message["content"]] == ["text", "image_url", "text"]
    assert message["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")


def test_speech_is_uploaded(vocabulary: list[str]) -> None:
    shop = workshop(*MODELS)
    (job,) = shop.jobs(Trace("t", (SPEECH,)))
    sending = shop.sending(job)
    assert sending.url == "http://fleet/v1/audio/transcriptions"
    assert b"RIFF" in sending.body
    assert b'name="max_completion_tokens"\r\n\r\n40\r\n' in sending.body
    assert b'name="model"\r\n\r\nwhisper\r\n' in sending.body
    assert vocabulary == [], "a speech model has no text to be asked about"


def test_a_mix_goes_to_three_models_and_asks_each_tokenizer_once(vocabulary: list[str]) -> None:
    shop = workshop(*MODELS)
    jobs = list(shop.jobs(Trace("t", (TEXT, PICTURE, SPEECH, TEXT, PICTURE))))
    assert [job.model.name for job in jobs] == ["oss", "vl", "whisper", "oss", "vl"]
    for job in jobs:
        shop.sending(job)
    assert sorted(vocabulary) == ["oss", "vl"]


def test_a_tokenizer_that_tells_nothing_is_chatted_with(vocabulary: list[str]) -> None:
    (job,) = workshop(Model("silent", ("silent",))).jobs(Trace("t", (TEXT,)))
    assert job.route.path == "/v1/chat/completions"
    (job,) = workshop(*MODELS, text_route="chat").jobs(Trace("t", (TEXT,)))
    assert job.route.path == "/v1/chat/completions"


def test_only_a_cut_is_called_one(vocabulary: list[str]) -> None:
    long = TraceRequest(0.0, 5000, 40)
    jobs = list(workshop(*MODELS, scale=0.5).jobs(Trace("t", (TEXT, long))))
    assert [job.cut for job in jobs] == [False, True]
    assert [job.request.input_tokens for job in jobs] == [250, 1024 - 20 - 1]
