"""OpenAI's Python SDK against every route, hostile input, and clients that go away, on real engines."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import openai
import pytest
import requests
from openai import OpenAI

from deployments.engine.vllm.routes import ask_load
from tests.e2e.embedded.conftest import RunningFleet
from tests.support.data import clips, held_out_digits
from tests.support.engine_keys import direct_session

SUM = [{"role": "user", "content": "What is 27 + 58?"}]


def clip() -> bytes:
    return clips()[0][0].read_bytes()


def test_models(client: OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert {"gpt-oss", "tiny-gpt-oss-sums", "qwen3-vl", "whisper", "whisper-1"} <= names
    assert client.models.retrieve("whisper-1").id == "whisper-1"


def test_completions_of_text_and_of_token_ids(client: OpenAI) -> None:
    text = client.completions.create(model="gpt-oss", prompt="12 + 30 =", max_tokens=4, temperature=0)
    assert text.usage is not None
    assert text.usage.completion_tokens == 4
    ids = client.completions.create(
        model="tiny-gpt-oss-sums",
        prompt=[12, 13, 14],
        max_tokens=4,
        temperature=0,
        extra_body={"return_token_ids": True},
    )
    assert len((ids.choices[0].model_extra or {})["token_ids"]) == 4
    pieces = list(client.completions.create(model="gpt-oss", prompt="12", max_tokens=4, temperature=0, stream=True))
    assert pieces[-1].choices[0].finish_reason == "length"


def test_responses(client: OpenAI) -> None:
    answer = client.responses.create(model="gpt-oss", input="What is 27 + 58?", max_output_tokens=128, temperature=0)
    assert answer.output_text == "85"
    kinds = [event.type for event in client.responses.create(model="gpt-oss", input="What is 1 + 2?", stream=True)]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"


def test_a_response_format_is_obeyed(client: OpenAI) -> None:
    digit = held_out_digits(1)[0]
    wrong = [(digit.label + 1) % 10, (digit.label + 2) % 10]  # which the model would never say by itself
    form: Any = {"type": "json_schema", "json_schema": {"name": "digit", "schema": {"enum": wrong}}}
    answer = client.chat.completions.create(
        model="qwen3-vl", messages=digit.messages(), response_format=form, max_tokens=8, temperature=0
    )
    assert int(answer.choices[0].message.content or "") in wrong


def test_tools_are_accepted(client: OpenAI) -> None:
    tool: Any = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    answer = client.chat.completions.create(model="gpt-oss", messages=SUM, tools=[tool], max_tokens=64, temperature=0)
    assert answer.choices[0].finish_reason in {"stop", "length", "tool_calls"}


def test_transcriptions_in_every_form(client: OpenAI) -> None:
    ask: Callable[..., Any] = client.audio.transcriptions.create
    whole = ask(model="whisper-1", file=("a.wav", clip()), language="en", temperature=0)
    assert "John Dashwood" in whole.text
    told = ask(model="whisper", file=("a.wav", clip()), language="en", temperature=0, response_format="verbose_json")
    assert told.segments[-1].end > 6
    events = list(ask(model="whisper", file=("a.wav", clip()), language="en", temperature=0, stream=True))
    streamed = "".join(
        choice["delta"]["content"] for e in events for choice in (e.model_extra or {}).get("choices", [])
    )
    assert streamed.strip() == whole.text.strip()


def test_translations(client: OpenAI) -> None:
    assert "Dashwood" in client.audio.translations.create(model="whisper", file=("a.wav", clip()), temperature=0).text


def test_tokenize_and_back(fleet: RunningFleet) -> None:
    ids = requests.post(f"{fleet.url}/tokenize", json={"model": "gpt-oss", "prompt": "hello"}, timeout=10).json()
    assert ids["tokens"] == [24912]
    text = requests.post(f"{fleet.url}/detokenize", json={"model": "gpt-oss", "tokens": [24912]}, timeout=10).json()
    assert text["prompt"] == "hello"


def test_sdk_errors(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.chat.completions.create(model="nope", messages=SUM)
    with pytest.raises(openai.NotFoundError, match="no model of this fleet offers"):
        client.embeddings.create(model="gpt-oss", input="x")
    with pytest.raises(openai.BadRequestError, match="max_tokens must be at least 1"):
        client.chat.completions.create(model="gpt-oss", messages=SUM, max_tokens=-1)


PNG = held_out_digits(1)[0].png


def picture(data: bytes) -> list[dict[str, Any]]:
    import base64

    address = "data:image/png;base64," + base64.b64encode(data).decode()
    parts = [{"type": "image_url", "image_url": {"url": address}}, {"type": "text", "text": "What digit is this?"}]
    return [{"role": "user", "content": parts}]


def remote(address: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": address}}]}]


HOSTILE_CHATS: dict[str, tuple[dict[str, Any], int]] = {
    "wrong model": ({"model": "nope", "messages": SUM}, 404),
    "no model": ({"messages": SUM}, 400),
    "model of a wrong type": ({"model": 7, "messages": SUM}, 400),
    "wrong route": ({"model": "whisper", "messages": SUM}, 404),
    "no messages": ({"model": "gpt-oss"}, 400),
    "messages of a wrong type": ({"model": "gpt-oss", "messages": "hello"}, 400),
    "negative tokens": ({"model": "gpt-oss", "messages": SUM, "max_tokens": -5}, 400),
    "tokens of a wrong type": ({"model": "gpt-oss", "messages": SUM, "max_tokens": "many"}, 400),
    "temperature of a wrong type": ({"model": "gpt-oss", "messages": SUM, "temperature": "hot"}, 400),
    "stream of a wrong type": ({"model": "gpt-oss", "messages": SUM, "stream": "yes"}, 400),
    "a prompt that is too long": ({"model": "gpt-oss", "messages": [{"role": "user", "content": "x " * 3000}]}, 400),
    "a truncated image": ({"model": "qwen3-vl", "messages": picture(PNG[: len(PNG) // 2])}, 400),
    "an image that is none": ({"model": "qwen3-vl", "messages": picture(b"no image")}, 400),
    "an address inside the cluster": ({"model": "qwen3-vl", "messages": remote("http://127.0.0.1:1/x.png")}, 400),
    "a local file": ({"model": "qwen3-vl", "messages": remote("file:///etc/passwd")}, 400),
}


@pytest.mark.parametrize("case", HOSTILE_CHATS)
def test_hostile_chats_get_the_right_error(fleet: RunningFleet, case: str) -> None:
    body, status = HOSTILE_CHATS[case]
    answer = requests.post(f"{fleet.url}/v1/chat/completions", json=body, timeout=20)
    error = answer.json()["error"]
    assert answer.status_code == status, error
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) > 10


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 400), (b"{bad", 400), (b"[1]", 400), (b'"' + b"x" * 50_000_000 + b'"', 413)]
)
def test_hostile_bodies_get_the_right_error(fleet: RunningFleet, body: bytes, status: int) -> None:
    answer = requests.post(f"{fleet.url}/v1/chat/completions", data=body, timeout=20)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("content", "fields", "status"),
    [
        (b"this is no audio" * 100, {"model": "whisper"}, 400),
        (b"", {"model": "whisper"}, 400),
        (b"\0" * 26_500_000, {"model": "whisper"}, 413),
        (b"\0" * 50_000_000, {"model": "whisper"}, 413),
        (b"RIFF", {}, 400),
        (b"RIFF", {"model": "gpt-oss"}, 404),
    ],
)
def test_hostile_uploads_get_the_right_error(
    fleet: RunningFleet, content: bytes, fields: dict[str, str], status: int
) -> None:
    files = {"file": ("a.wav", io.BytesIO(content))}
    answer = requests.post(f"{fleet.url}/v1/audio/transcriptions", files=files, data=fields, timeout=30)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("seconds", [1, pytest.param(60, marks=pytest.mark.slow)])
def test_uploads_of_every_size_reach_the_engine(client: OpenAI, seconds: int) -> None:
    """Below and above the size at which uploads move from memory to a file. The second is 2 MB of two clips' sound."""
    import numpy as np
    import soundfile

    samples, rate = soundfile.read(clips()[0][0], dtype="int16")
    buffer = io.BytesIO()
    soundfile.write(buffer, np.resize(samples, seconds * rate), rate, format="WAV")
    heard = client.audio.transcriptions.create(model="whisper", file=("a.wav", buffer.getvalue()), language="en")
    assert heard.text.strip()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_goes_away_ends_the_engines_work(
    fleet: RunningFleet, http: aiohttp.ClientSession, stream: bool
) -> None:
    engine = str(fleet.replicas("gpt-oss")[0]["url"])
    body = {"model": "gpt-oss", "prompt": "12", "max_tokens": 1000, "min_tokens": 1000, "stream": stream}
    request = asyncio.create_task(_read(http, body))
    async with direct_session(timeout=aiohttp.ClientTimeout(total=10)) as direct:
        await _until(direct, engine, running=1)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        gone = time.monotonic()
        await _until(direct, engine, running=0)
        assert time.monotonic() - gone < 5, "the engine worked on for nobody"


async def _read(http: aiohttp.ClientSession, body: dict[str, Any]) -> bytes:
    async with http.post("/v1/completions", json=body) as answer:
        return await answer.read()


async def _until(session: aiohttp.ClientSession, engine: str, running: int) -> None:
    async with asyncio.timeout(20):
        while (await ask_load(session, engine)).running != running:  # noqa: ASYNC110  # another process's state
            await asyncio.sleep(0.05)


def test_after_all_this_every_engine_lives(fleet: RunningFleet, client: OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-oss", messages=SUM, temperature=0, max_tokens=128)
    assert answer.choices[0].message.content == "85"
    assert client.chat.completions.create(model="qwen3-vl", messages=held_out_digits(1)[0].messages(), max_tokens=8)
    assert client.audio.transcriptions.create(model="whisper", file=("a.wav", clip()), language="en").text
    assert requests.get(f"{fleet.url}/ready", timeout=5).status_code == 200
