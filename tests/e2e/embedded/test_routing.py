"""The gateway's router over real engines: what it predicts of their caches is what they find."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import random
from typing import Any

import aiohttp
from PIL import Image

from deployments.routing.keys import KEY_TOKENS

WORDS = ("ship", "harbour", "captain", "storm", "island", "rope", "sail", "night", "letter", "engine")


async def settled(http: aiohttp.ClientSession) -> None:
    """Waits until every feed of the fleet's KV events is exact."""
    async with asyncio.timeout(30):
        while any(  # noqa: ASYNC110  # another's state
            replica["feed"] not in ("exact", None) for model in await state(http) for replica in model["replicas"]
        ):
            await asyncio.sleep(0.1)


async def state(http: aiohttp.ClientSession) -> list[dict[str, Any]]:
    async with http.get("/debug/routing") as answer:
        assert answer.status == 200
        return list(await answer.json())


async def asked(http: aiohttp.ClientSession, model: str, messages: list[Any], **fields: Any) -> tuple[int, int, int]:
    """Prompt tokens, cached tokens as predicted, and as the engine found."""
    body = {"model": model, "messages": messages, "max_completion_tokens": 2, "temperature": 0, **fields}
    async with http.post("/v1/chat/completions", json=body, headers={"x-explain-routing": "1"}) as answer:
        told = await answer.json()
        assert answer.status == 200, told
        decision = json.loads(answer.headers["x-routing"])
    details = told["usage"]["prompt_tokens_details"] or {}
    return told["usage"]["prompt_tokens"], decision["candidates"][0]["cached_tokens"], details.get("cached_tokens") or 0


async def errors(http: aiohttp.ClientSession, model: str, words: int, rounds: int) -> tuple[int, int]:
    """Over chats that share one of four system prompts: tokens found in the cache, in whole keys, and how many of them
    were predicted wrongly. The first `rounds` chats of each are not counted."""
    await settled(http)
    chance = random.Random(words)
    systems = [" ".join(chance.choices(WORDS, k=words)) for _ in range(4)]
    found = wrong = 0
    for turn in range(4 * (rounds + 4)):
        system = {"role": "system", "content": systems[turn % 4]}
        question = {"role": "user", "content": " ".join(chance.choices(WORDS, k=5))}
        tokens, expected, cached = await asked(http, model, [system, question])
        assert cached < tokens
        if turn >= 4 * rounds:
            cached -= cached % KEY_TOKENS
            found, wrong = found + cached, wrong + abs(expected - cached)
        await asyncio.sleep(0.05)
    return found, wrong


async def test_predicted_hits_are_the_engines_own(http: aiohttp.ClientSession) -> None:
    found, wrong = await errors(http, "qwen3-vl", words=60, rounds=0)
    assert found > 0
    assert wrong < 0.05 * found


async def test_a_hybrid_models_hits_are_predicted_once_its_windows_are_cached(http: aiohttp.ClientSession) -> None:
    """GPT-OSS reuses a prefix only where its sliding-window layers have the window before its end, which they keep from
    the second time on that a prompt leaves it there. The index follows full attention alone."""
    found, wrong = await errors(http, "gpt-oss", words=300, rounds=6)
    assert found > 16 * 250
    assert wrong < 0.25 * found, "what is believed of its predictions still recovers from the first ones"


async def test_pictures_under_one_text_are_told_apart(http: aiohttp.ClientSession) -> None:
    await settled(http)

    def about(shade: int) -> list[Any]:
        file = io.BytesIO()
        Image.new("RGB", (64, 64), (shade, shade, shade)).save(file, "PNG")
        url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
        text = " ".join(["Describe the image."] * 40)
        return [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}],
            }
        ]

    first = [await asked(http, "qwen3-vl", about(shade)) for shade in (10, 200)]
    await asyncio.sleep(0.2)
    again = [await asked(http, "qwen3-vl", about(shade)) for shade in (10, 200)]
    for (_, expected, cached), (_, expected_again, cached_again) in zip(first, again, strict=True):
        assert expected <= 32, "the other picture's prompt is none of it"
        assert cached <= 32
        assert cached_again > KEY_TOKENS
        assert expected_again == cached_again - cached_again % KEY_TOKENS


async def test_speech_is_routed_by_its_seconds(http: aiohttp.ClientSession) -> None:
    (whisper,) = [model for model in await state(http) if model["model"] == "whisper"]
    assert whisper["index"]["keys"] == 0
    assert whisper["replicas"][0]["feed"] is None
    assert whisper["replicas"][0]["audio_seconds_per_second"] > 0
