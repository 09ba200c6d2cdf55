from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from loadtest.benchmarks.gpt_oss import GptOss
from loadtest.client import Call, Outcome
from loadtest.leases import Item
from loadtest.puller import Puller, PullerJob, decode_frame
from loadtest.sample_queue import QueueServer

SAMPLES = 60
WINDOW = 4


class Method:
    """Calls a queue of this process the way an actor's method is called."""

    def __init__(self, loop: asyncio.AbstractEventLoop, function: Callable[..., Awaitable[Any]]) -> None:
        self._loop = loop
        self._function = function

    def remote(self, *arguments: Any) -> asyncio.Future[Any]:
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._function(*arguments), self._loop))  # type: ignore[arg-type]


class Handle:
    def __init__(self, loop: asyncio.AbstractEventLoop, server: QueueServer) -> None:
        self.take = Method(loop, server.take)
        self.bodies = Method(loop, server.bodies)


class MemoryBodies:
    async def read(self, index: int) -> bytes:
        if index < 0:
            raise RuntimeError("the object store lost this chunk")
        return json.dumps({"prompt": [index]}).encode()


class Endpoint:
    """Answers every prompt with its own index, and counts how many it has at once."""

    def __init__(self) -> None:
        self.at_once = self.most = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        (index,) = (await request.json())["prompt"]
        await asyncio.sleep(0.002)
        self.at_once -= 1
        return web.json_response({"choices": [{"text": "", "token_ids": [index, 1]}]})


class Rig:
    """A queue and an endpoint in an event loop of their own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.endpoint = Endpoint()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.queue = QueueServer(MemoryBodies())  # type: ignore[arg-type]
        self.url = self.do(self._serve())

    async def _serve(self) -> str:
        app = web.Application()
        app.router.add_post("/v1/completions", self.endpoint.handle)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1/completions"

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def puller(self) -> Puller:
        call = Call(self.url, {"Content-Type": "application/json"}, 5, 2)
        return Puller(PullerJob(GptOss(), call, Handle(self.loop, self.queue)), "p", WINDOW, 0.01)

    def put(self, items: list[Item]) -> None:
        self.do(self.queue.put(items))

    def close(self) -> None:
        self.do(self._runner.cleanup())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


def confirmed(rig: Rig, frames: Iterator[bytes]) -> Iterator[Outcome]:
    for frame in frames:
        outcomes = decode_frame(frame)
        rig.do(rig.queue.confirm([outcome.place for outcome in outcomes]))
        yield from outcomes


def test_it_answers_everything_within_its_window_and_goes_home(rig: Rig) -> None:
    rig.put([(place, 100 + place) for place in range(SAMPLES)])
    rig.do(rig.queue.close())
    outcomes = list(confirmed(rig, rig.puller().frames()))
    assert sorted(outcome.place for outcome in outcomes) == list(range(SAMPLES))
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    assert all(outcome.index == 100 + outcome.place for outcome in outcomes)
    assert rig.endpoint.most == WINDOW


def test_answers_come_while_it_still_waits_for_more(rig: Rig) -> None:
    frames = rig.puller().frames()
    rig.put([(0, 0)])
    assert [outcome.place for outcome in decode_frame(next(frames))] == [0]
    rig.put([(1, 1)])
    assert [outcome.place for outcome in decode_frame(next(frames))] == [1]
    rig.do(rig.queue.abort())
    assert list(frames) == []


def test_closing_it_cancels_what_is_under_way(rig: Rig) -> None:
    rig.put([(place, place) for place in range(SAMPLES)])
    frames = rig.puller().frames()
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name == "p"]


def test_its_own_failure_is_raised_not_swallowed(rig: Rig) -> None:
    rig.put([(0, -1)])
    with pytest.raises(RuntimeError, match="lost this chunk"):
        list(rig.puller().frames())
