"""OpenAI's own Python SDK against every route, on fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.support.front import Engine, Front, front
from tests.support.http import recording
from tests.support.processes import fake_fleet, fake_pool

HELLO: Any = [{"role": "user", "content": "Hello"}]
SOUND = ("speech.wav", recording(2), "audio/wav")


def sdk(gateway: Front) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0, timeout=20)


@pytest.fixture
async def client(two: Front) -> AsyncIterator[AsyncOpenAI]:
    async with sdk(two) as made:
        yield made


@pytest.fixture
async def listener(speech: Front) -> AsyncIterator[AsyncOpenAI]:
    async with sdk(speech) as made:
        yield made


async def test_models(client: AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["m", "alias"]
    assert (await client.models.retrieve("alias")).id == "alias"


async def test_chat(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="m", messages=HELLO, max_tokens=5)
    assert whole.choices[0].message.content
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 5
    stream = await client.chat.completions.create(
        model="alias",
        messages=HELLO,
        max_tokens=5,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


async def test_completions(client: AsyncOpenAI) -> None:
    whole = await client.completions.create(
        model="m", prompt=[1, 2, 3], max_tokens=4, extra_body={"return_token_ids": True}
    )
    assert len((whole.choices[0].model_extra or {})["token_ids"]) == 4
    stream = await client.completions.create(model="m", prompt=[1, 2, 3], max_tokens=4, stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == whole.choices[0].text


async def test_responses(client: AsyncOpenAI) -> None:
    whole = await client.responses.create(model="m", input="Hello", instructions="Be brief.")
    assert whole.status == "completed"
    assert whole.output_text
    stream = await client.responses.create(model="m", input="Hello", instructions="Be brief.", stream=True)
    events = [event async for event in stream]
    assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole.output_text


async def test_transcriptions_and_translations(listener: AsyncOpenAI) -> None:
    whole = await listener.audio.transcriptions.create(model="m", file=SOUND)
    assert whole.text
    told = await listener.audio.transcriptions.create(
        model="m", file=SOUND, response_format="verbose_json", language="de", timestamp_granularities=["segment"]
    )
    assert (told.text, told.language, float(told.duration)) == (whole.text, "de", 2)
    stream = await listener.audio.transcriptions.create(model="m", file=SOUND, stream=True)
    pieces = [(event.model_extra or {})["choices"][0]["delta"]["content"] async for event in stream]
    assert "".join(pieces) == whole.text
    assert (await listener.audio.translations.create(model="m", file=SOUND)).text


async def test_errors_are_the_sdks_own(client: AsyncOpenAI, listener: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist") as missing:
        await client.chat.completions.create(model="nope", messages=HELLO)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError, match="must be at least 1"):
        await client.completions.create(model="m", prompt="x", max_tokens=-1)
    with pytest.raises(openai.NotFoundError, match="no model of this fleet offers"):
        await client.embeddings.create(model="m", input="x")
    with pytest.raises(openai.NotFoundError, match="does not offer"):
        await listener.chat.completions.create(model="m", messages=HELLO)
    with pytest.raises(openai.APIStatusError, match="25 MiB") as large:
        await listener.audio.transcriptions.create(model="m", file=("a.wav", bytes(25 * 2**20 + 1)))
    assert large.value.status_code == 413


async def test_engines_that_fail(client: AsyncOpenAI, engines: tuple[Engine, Engine]) -> None:
    for engine in engines:
        await engine.fault(fail_next=1)
    with pytest.raises(openai.InternalServerError, match="the engine failed with status 500"):
        await client.completions.create(model="m", prompt="x")
    for engine in engines:
        await engine.fault(cut_after_tokens=2)
    stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True, stop=["half said"])
    with pytest.raises(openai.APIError, match="failed in the middle of the answer"):
        async for _ in stream:
            pass


async def test_a_full_queue_is_a_rate_limit() -> None:
    async with front(fake_fleet(fake_pool(), max_queue=0), []) as gateway, sdk(gateway) as client:
        with pytest.raises(openai.RateLimitError) as refused:
            await client.completions.create(model="m", prompt="x")
        assert int(refused.value.response.headers["retry-after"]) >= 1
