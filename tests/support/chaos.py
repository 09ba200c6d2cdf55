"""Load on a fleet whose replicas and nodes are killed meanwhile, and what its clients see of that: nothing."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from cluster.process_nodes.marked import marked
from tests.support.local_cluster import LocalCluster
from tests.support.process_table import parent, with_arguments

DEADLINE_S = 120
PROMPTS = 40
TOKENS = (8, 40, 160)
APART_S = 6.0
"""Between two kills, more than the longest answer takes: a request that was there at two deaths is refused."""


@dataclass
class Seen:
    """What clients saw. `problems` is empty where every unary request was answered and every stream was whole."""

    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    killed: Counter[str] = field(default_factory=Counter)
    recovered_s: float = 0.0

    @property
    def requests(self) -> int:
        return sum(self.outcomes.values())


@dataclass
class Chaos:
    """`rate`: requests a second, paced. `replica_every_s`, `node_every_s`: between two kills of one."""

    url: str
    cluster: LocalCluster
    seconds: float
    rate: float = 6.0
    replica_every_s: float = 10.0
    node_every_s: float = 60.0
    seed: int = 1

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)
        self._apart = asyncio.Lock()
        self._seen = Seen()
        self._expected: dict[int, tuple[str, int]] = {}

    async def run(self) -> Seen:
        timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
        async with aiohttp.ClientSession(
            self.url, timeout=timeout, connector=aiohttp.TCPConnector(limit=0)
        ) as self._session:
            for number in range(PROMPTS):
                self._expected[number] = await self._whole(number)
            wanted = len(await self._replicas())
            async with asyncio.TaskGroup() as group:
                load = group.create_task(self._load())
                killing = [group.create_task(self._kill_replicas()), group.create_task(self._kill_nodes())]
                await load
                for task in killing:
                    task.cancel()
            since = time.monotonic()
            async with asyncio.timeout(DEADLINE_S):
                while len(await self._replicas()) != wanted:  # noqa: ASYNC110  # another's state
                    await asyncio.sleep(0.5)
            self._seen.recovered_s = time.monotonic() - since
        return self._seen

    async def _load(self) -> None:
        due, end = time.monotonic(), time.monotonic() + self.seconds
        async with asyncio.TaskGroup() as group:
            for number in range(10**9):
                if due > end:
                    break
                await asyncio.sleep(due - time.monotonic())
                group.create_task(self._one(number % PROMPTS, stream=bool(number % 3)))
                due += 1 / self.rate

    async def _one(self, number: int, stream: bool) -> None:
        began = time.monotonic()
        try:
            said = await (self._stream(number) if stream else self._whole(number))
            outcome = "whole" if said == self._expected[number] else "different"
        except Exception as error:  # whatever a client meets is what this is about
            said, outcome = (f"{type(error).__name__}: {error}", 0), "failed"
        self._seen.slowest_s = max(self._seen.slowest_s, time.monotonic() - began)
        self._seen.outcomes[outcome] += 1
        if outcome != "whole":
            self._seen.problems.append(f"{'stream' if stream else 'unary'} {number}: {said[0][-300:]}")

    def _body(self, number: int, **fields: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": f"prompt {number} " * (1 + number % 7)}]
        tokens = TOKENS[number % len(TOKENS)]
        return {
            "model": "m",
            "messages": messages,
            "max_tokens": tokens,
            "ignore_eos": True,
            "temperature": 0,
            **fields,
        }

    async def _whole(self, number: int) -> tuple[str, int]:
        async with self._session.post("/v1/chat/completions", json=self._body(number)) as answer:
            told = await answer.json()
            assert answer.status == 200, told
        return told["choices"][0]["message"]["content"], told["usage"]["completion_tokens"]

    async def _stream(self, number: int) -> tuple[str, int]:
        body = self._body(number, stream=True, stream_options={"include_usage": True})
        text, tokens = "", 0
        async with self._session.post("/v1/chat/completions", json=body) as answer:
            assert answer.status == 200, await answer.text()
            raw = await answer.read()
        assert raw.endswith(b"data: [DONE]\n\n"), raw[-300:]
        for frame in raw.split(b"\n\n")[:-2]:
            chunk = json.loads(frame.removeprefix(b"data: "))
            text += "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])
            tokens = chunk["usage"]["completion_tokens"] if chunk.get("usage") else tokens
        return text, tokens

    # Killing

    async def _replicas(self) -> list[dict[str, Any]]:
        async with self._session.get("/fleet") as answer:
            (model,) = (await answer.json())["models"]
            return list(model["replicas"])

    async def _kill_replicas(self) -> None:
        """In turn the engine alone and the actor that supervises it, as long as another one lives."""
        for turn in range(10**9):
            await asyncio.sleep(self.replica_every_s)
            async with self._apart:
                living = [replica for replica in await self._replicas() if _engine(replica)]
                if len(living) < 2:
                    continue
                engine = _engine(self._draw.choice(living))
                assert engine is not None
                kind = "actor" if turn % 2 else "engine"
                _kill(parent(parent(engine)) if turn % 2 else engine)
                self._note(kind)
                await asyncio.sleep(APART_S)

    async def _kill_nodes(self) -> None:
        """In turn a worker node of each kind, all of its processes at once, as long as the other's replicas live."""
        for turn in range(10**9):
            await asyncio.sleep(self.node_every_s)
            kind = ("nvidia", "amd")[turn % 2]
            async with self._apart:
                living = [replica for replica in await self._replicas() if _engine(replica)]
                if all(replica["vendor"] == kind for replica in living):
                    continue
                if kill_node(self.cluster, kind):
                    self._note("node")
                    await asyncio.sleep(APART_S)

    def _note(self, kind: str) -> None:
        self._seen.killed[kind] += 1
        done = dict(self._seen.outcomes)
        print(f"   killed: {dict(self._seen.killed)}, answered: {done}", file=sys.stderr, flush=True)


def kill_node(cluster: LocalCluster, kind: str) -> bool:
    """All processes of one worker node; False where there is none of that kind."""
    folder = next((folder for folder, of in cluster.nodes().items() if of == kind), None)
    if folder is not None:
        for pid in marked(str(folder)):
            _kill(pid)
    return folder is not None


def _engine(replica: dict[str, Any]) -> int | None:
    """The process of a replica's engine, where it still runs."""
    port = replica["url"].rsplit(":", 1)[1]
    found = with_arguments("deployments.engine.fake", "--port", port) - with_arguments("deployments.engine.guard")
    return next(iter(found), None)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
