"""Requests that are much work for real vLLM engines, and whose clients leave: the work ends."""

from __future__ import annotations

import asyncio
import io
import time
from typing import Any

import aiohttp
import pytest

from deployments.engine.vllm.routes import value
from tests.e2e.embedded.conftest import RunningFleet
from tests.support.data import clips, held_out_digits
from tests.support.engine_keys import direct_session

TIMEOUT_S = 60.0
TOKENS = 900
"""Of each answer, which the engine may not end before: hundreds of them take minutes."""

QUIET_S = 0.5
"""Without a new token for so long, and with no request that runs or waits, an engine has ended its work."""

LONG: dict[str, Any] = {"max_tokens": TOKENS, "min_tokens": TOKENS}
SUM = [{"role": "user", "content": "What is 27 + 58?"}]
ABANDONED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "500 answers to one prompt": ("gpt-oss", "/v1/completions", {"prompt": "12", "n": 500, **LONG}),
    "500 answers to one chat": ("gpt-oss", "/v1/chat/completions", {"messages": SUM, "n": 500, **LONG}),
    "200 answers to a picture": (
        "qwen3-vl",
        "/v1/chat/completions",
        {"messages": held_out_digits(1)[0].messages(), "n": 200, **LONG},
    ),
    "500 prompts": ("gpt-oss", "/v1/completions", {"prompt": [f"{n} + 1" for n in range(500)], **LONG}),
    "a response": ("gpt-oss", "/v1/responses", {"input": "What is 27 + 58?", "max_output_tokens": TOKENS}),
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("case", ABANDONED)
async def test_work_ends_soon_after_its_client_has_left(
    fleet: RunningFleet, http: aiohttp.ClientSession, case: str, stream: bool
) -> None:
    model, path, fields = ABANDONED[case]
    await abandon(fleet, http, model, path, {"json": {"model": model, "stream": stream, **fields}}, stream)


async def test_beam_search_ends_soon_after_its_client_has_left(
    fleet: RunningFleet, http: aiohttp.ClientSession
) -> None:
    """vLLM has no stream of it, and counts none of its steps as running."""
    body = {"model": "gpt-oss", "prompt": "12", "n": 8, "use_beam_search": True, "max_tokens": TOKENS}
    await abandon(fleet, http, "gpt-oss", "/v1/completions", {"json": {**body, "ignore_eos": True}}, False)


async def test_transcription_ends_soon_after_its_client_has_left(
    fleet: RunningFleet, http: aiohttp.ClientSession
) -> None:
    form = aiohttp.FormData({"model": "whisper", "language": "en", "stream": "true", "temperature": "0"})
    form.add_field("file", long_clip(), filename="a.wav")
    await abandon(fleet, http, "whisper", "/v1/audio/transcriptions", {"data": form}, True)


async def abandon(
    fleet: RunningFleet, http: aiohttp.ClientSession, model: str, path: str, body: dict[str, Any], stream: bool
) -> None:
    """Leaves after a stream's first piece, or once the engine works, and waits until it does nothing."""
    begun = asyncio.Event()

    async def ask() -> None:
        async with http.post(path, **body) as answer:
            assert answer.status == 200, await answer.text()
            assert stream, "it has ended by itself"
            await answer.content.readany()
            begun.set()
            await asyncio.sleep(TIMEOUT_S)

    async with direct_session(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as direct:
        engine = Meter(direct, str(fleet.replicas(model)[0]["url"]))
        before = await engine.tokens()
        asking = asyncio.create_task(ask())
        async with asyncio.timeout(TIMEOUT_S):
            while not begun.is_set() and (stream or await engine.tokens() == before):
                assert not asking.done(), asking.exception()
                await asyncio.sleep(0.02)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        seconds = await engine.seconds_until_quiet()
    print(f"{path} of {model}: the engine ended its work {seconds:.2f} s after its client had left")
    assert seconds < 15, "the engine worked on for nobody"


class Meter:
    """What an engine's own metrics tell of its work."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url

    async def tokens(self) -> float:
        """Prompt and answer tokens that it has computed so far."""
        return (await self._read())[0]

    async def seconds_until_quiet(self) -> float:
        started = changed = time.monotonic()
        last = (-1.0, 0.0)
        async with asyncio.timeout(TIMEOUT_S):
            while time.monotonic() - changed < QUIET_S:
                read = await self._read()
                if read != last or read[1]:
                    last, changed = read, time.monotonic()
                await asyncio.sleep(0.02)
        return changed - started

    async def _read(self) -> tuple[float, float]:
        """Tokens, and requests that run or wait."""
        async with self._session.get(f"{self._url}/metrics", raise_for_status=True) as answer:
            text = await answer.text()
        tokens = [value(text, f"vllm:{kind}_tokens_total") for kind in ("prompt", "generation")]
        requests = [value(text, f"vllm:num_requests_{state}") for state in ("running", "waiting")]
        return sum(tokens), sum(requests)


def long_clip() -> io.BytesIO:
    """Ten minutes of speech."""
    import numpy as np
    import soundfile

    samples, rate = soundfile.read(clips()[0][0], dtype="int16")
    buffer = io.BytesIO()
    soundfile.write(buffer, np.resize(samples, 600 * rate), rate, format="WAV")
    buffer.seek(0)
    return buffer
