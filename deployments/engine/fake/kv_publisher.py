"""Publishes what happens to the fake engine's KV blocks, on sockets like vLLM's and in vLLM's wire format."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from tempfile import TemporaryDirectory
from typing import Any

import zmq
import zmq.asyncio

from deployments.engine.fake import kv_blocks
from deployments.engine.fake.batch import Sequence
from deployments.engine.fake.faults import Faults
from deployments.engine.fake.prompts import IMAGE_TOKENS
from deployments.engine.socket_folder import PREFIX, socket_folder
from deployments.kv_cache.events import Cleared, KvEvent, MediaMark, Removed, Stored
from deployments.kv_cache.messages import END_OF_REPLAY, REPLAYABLE_BATCHES, SEQUENCE_BYTES, encode

LIVE_QUEUE = 100_000
REPLAYED_AT_ONCE = 100
"""Batches of a replay that are sent before the engine goes on with its work."""

Frames = list[bytes]


class KvPublisher:
    """Gathers block events (`on_event`) and publishes those of each step as one batch (`end_step`).

    Both do nothing until `opened` has opened the sockets: an engine without them tells nothing.
    """

    def __init__(self, block_size: int, faults: Faults) -> None:
        self._block_size, self._faults = block_size, faults
        self._events: list[KvEvent] = []
        self._published: deque[tuple[int, bytes]] = deque(maxlen=REPLAYABLE_BATCHES)
        self._next = 0
        self._live: zmq.Socket[bytes] | None = None
        self._endpoints: tuple[str, str] | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Listens in a folder that no other user may enter, for as long as the block lasts."""
        context = zmq.asyncio.Context()
        # A PUB socket never blocks: what a subscriber has no room for is dropped.
        self._live = zmq.Socket(zmq.Context(context), zmq.PUB)
        replays = context.socket(zmq.ROUTER)
        folders = ExitStack()
        try:
            private = folders.enter_context(TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True))
            sockets = folders.enter_context(socket_folder(private))
            self._live.set_hwm(LIVE_QUEUE)
            self._endpoints = f"ipc://{sockets}/kv-events", f"ipc://{sockets}/kv-replays"
            self._live.bind(self._endpoints[0])
            replays.bind(self._endpoints[1])
            answering = asyncio.create_task(self._answer_replays(replays))
            try:
                yield
            finally:
                answering.cancel()
                with suppress(asyncio.CancelledError):
                    await answering
        finally:
            self._live.close(linger=0)
            replays.close(linger=0)
            self._live = self._endpoints = None
            context.term()
            folders.close()

    def sources(self) -> dict[str, Any]:
        """The answer to `GET /kv_event_sources`."""
        if self._endpoints is None:
            return {}
        endpoint, replay_endpoint = self._endpoints
        source = {
            "enable_kv_cache_events": True,
            "publisher": "zmq",
            "endpoint": endpoint,
            "replay_endpoint": replay_endpoint,
            "buffer_steps": REPLAYABLE_BATCHES,
            "hwm": LIVE_QUEUE,
            "max_queue_size": LIVE_QUEUE,
            "topic": "",
        }
        return {"0": source}

    def on_event(self, event: kv_blocks.BlockEvent) -> None:
        """Takes what `KvBlocks.on_event` tells."""
        if self._live is None:
            return
        match event:
            case kv_blocks.Stored():
                self._events.append(self._stored(event))
            case kv_blocks.Removed(keys):
                self._events.append(Removed(keys))
            case kv_blocks.Cleared():
                self._events.append(Cleared())

    def end_step(self) -> None:
        """Publishes what happened since the last call, if anything did."""
        if not self._events or self._live is None:
            return
        sequence, payload = self._next, encode(self._events, time.time())
        self._next += 1
        self._events.clear()
        loss = self._faults.take_event_loss()
        if loss != "forgotten":
            self._published.append((sequence, payload))
        if loss is None:
            self._live.send_multipart([b"", _number(sequence), payload])

    def _stored(self, event: kv_blocks.Stored) -> Stored:
        """The run of blocks with its tokens, as the sequence that they were computed for has them."""
        sequence = event.source
        assert isinstance(sequence, Sequence)
        start = event.place * self._block_size
        end = start + len(event.keys) * self._block_size
        pictures = (
            MediaMark(position - start, identity)
            for position, identity in sequence.images
            if position < end and position + IMAGE_TOKENS > start
        )
        salt = sequence.salt if event.parent is None else ""
        return Stored(
            event.keys, event.parent, sequence.token_ids[start:end], self._block_size, salt, media=tuple(pictures)
        )

    async def _answer_replays(self, replays: zmq.asyncio.Socket) -> None:
        while True:
            frames: Frames = await replays.recv_multipart()
            if len(frames) != 3:
                continue
            client, first = frames[0], int.from_bytes(frames[2], "big")
            wanted = [(sequence, payload) for sequence, payload in self._published if sequence >= first]
            for count, (sequence, payload) in enumerate(wanted, 1):
                await replays.send_multipart([client, b"", b"", _number(sequence), payload])
                if not count % REPLAYED_AT_ONCE:
                    await asyncio.sleep(0)
            await replays.send_multipart([client, b"", b"", END_OF_REPLAY, b""])


def _number(sequence: int) -> bytes:
    return sequence.to_bytes(SEQUENCE_BYTES, "big")
