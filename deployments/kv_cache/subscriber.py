"""Follows one engine's KV events over ZeroMQ, in the event loop of whoever runs it: no thread, no blocking call.

Live batches come from the engine's PUB socket, those that were missed from its ROUTER socket: a request is an empty
frame and the first sequence number wanted; each answer an empty frame, then the frames of a live message; the last
carries `END_OF_REPLAY`. Written after `ZmqEventPublisher` of vLLM 0.32. A ROUTER drops what does not fit into its
queue, so that a long answer may have gaps: `Feed` asks again from the first one on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Protocol

import zmq
import zmq.asyncio

from deployments.kv_cache.events import Cleared, KvEvent
from deployments.kv_cache.messages import END_OF_REPLAY, SEQUENCE_BYTES, Decoder, UnreadableBatch
from deployments.kv_cache.replay_protocol import Apply, Clear, Feed, FeedState, Replay, Step

TICK_S = 0.25
BURST_S = 0.002
"""Work done without letting the event loop's other tasks run; a single batch is never split."""

LIVE_QUEUE = 10_000
REPLAY_QUEUE = 20_000
"""Messages that wait in a socket: more than an engine replays at once."""

HEARTBEAT_MS = 2_000
HEARTBEAT_TIMEOUT_MS = 10_000
"""A connection whose other end is silent for so long is closed and made anew."""

MOST_RECONNECT_MS = 2_000

logger = logging.getLogger("mixfleet.kv_events")


class Sink(Protocol):
    """Where one replica's events go. Called in the subscriber's event loop; must not block."""

    def apply(self, events: Sequence[KvEvent]) -> None:
        """One batch, in order, each once."""

    def clear(self) -> None:
        """Nothing that was told of this replica's blocks holds any more."""

    def state(self, state: FeedState) -> None:
        """The feed's state has changed. It begins as CATCHING_UP."""


class Subscriber:
    """One replica's feed. `run` is the task; cancel it to end.

    Args:
        endpoint: `tcp://HOST:PORT` of the engine's PUB socket.
        replay_endpoint: that of its ROUTER socket.
    """

    def __init__(self, endpoint: str, replay_endpoint: str, sink: Sink) -> None:
        self._endpoint, self._replay_endpoint, self._sink = endpoint, replay_endpoint, sink
        self._context = zmq.asyncio.Context.instance()
        self._feed = Feed()
        self._decoder = Decoder()
        self._told = self._feed.state
        self._in_turn = asyncio.Lock()
        self._slice_began = 0.0
        self._replay_socket: zmq.asyncio.Socket | None = None
        self._replaying: asyncio.Task[None] | None = None
        self._tasks = asyncio.TaskGroup()

    async def run(self) -> None:
        """Follows the engine until it is cancelled. An engine that is gone is waited for: its address may come back.

        Raises zmq.ZMQError at once where an address is none that ZeroMQ can connect to.
        """
        live = self._socket(zmq.SUB, LIVE_QUEUE)
        monitor = live.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        try:
            live.subscribe(b"")
            live.connect(self._endpoint)
            self._replay_socket = self._connected_replay_socket()
            self._sink.state(self._told)
            async with self._tasks:
                self._tasks.create_task(self._listen(live))
                self._tasks.create_task(self._notice_disconnections(monitor))
                self._tasks.create_task(self._tick())
                async with self._in_turn:
                    await self._take(self._feed.start(time.monotonic()))
        finally:
            self._drop_replay()
            live.disable_monitor()
            for socket in (monitor, live, self._replay_socket):
                if socket is not None:
                    socket.close(linger=0)

    def _socket(self, kind: int, queue: int) -> zmq.asyncio.Socket:
        made: zmq.asyncio.Socket = self._context.socket(kind)
        for option, value in (
            (zmq.IPV6, int("[" in self._endpoint)),
            (zmq.LINGER, 0),
            (zmq.RCVHWM, queue),
            (zmq.HEARTBEAT_IVL, HEARTBEAT_MS),
            (zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS),
            (zmq.RECONNECT_IVL_MAX, MOST_RECONNECT_MS),
        ):
            made.setsockopt(option, value)
        return made

    def _connected_replay_socket(self) -> zmq.asyncio.Socket:
        made = self._socket(zmq.DEALER, REPLAY_QUEUE)
        made.connect(self._replay_endpoint)
        return made

    async def _listen(self, live: zmq.asyncio.Socket) -> None:
        while True:
            frames = await live.recv_multipart()
            if len(frames) != 3 or len(frames[1]) != SEQUENCE_BYTES:
                logger.warning("%s: a message of %d frames that is no KV-event batch", self._endpoint, len(frames))
                continue
            async with self._in_turn:
                await self._take(self._feed.live(int.from_bytes(frames[1], "big"), frames[2], time.monotonic()))

    async def _notice_disconnections(self, monitor: zmq.asyncio.Socket) -> None:
        while True:
            await monitor.recv_multipart()
            async with self._in_turn:
                await self._take(self._feed.disconnected(time.monotonic()))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            async with self._in_turn:
                await self._take(self._feed.tick(time.monotonic()))

    async def _replay(self, first: int) -> None:
        """Asks for the batches from `first` on and takes the answer."""
        socket = self._replay_socket = self._replay_socket or self._connected_replay_socket()
        await socket.send_multipart([b"", first.to_bytes(SEQUENCE_BYTES, "big")])
        ended = False
        while not ended:
            frames = await socket.recv_multipart()
            if len(frames) != 4 or len(frames[2]) != SEQUENCE_BYTES:
                logger.warning("%s: an answer of %d frames that is no replay", self._replay_endpoint, len(frames))
                continue
            async with self._in_turn:
                if asyncio.current_task() is not self._replaying:
                    return
                now, ended = time.monotonic(), frames[2] == END_OF_REPLAY
                if ended:
                    self._replaying = None
                    await self._take(self._feed.replay_ended(now))
                else:
                    await self._take(self._feed.replayed(int.from_bytes(frames[2], "big"), frames[3], now))

    def _drop_replay(self) -> None:
        """Ends a replay under way, and its socket, so that nothing of its answer is taken for the next one's."""
        dropped, self._replaying = self._replaying, None
        if dropped is None:
            return
        if self._replay_socket:
            self._replay_socket.close(linger=0)
            self._replay_socket = None
        if dropped is not asyncio.current_task():
            dropped.cancel()

    async def _take(self, steps: Sequence[Step]) -> None:
        """Takes the feed's steps. Whoever calls it holds `_in_turn`: steps are taken in the order that they came in."""
        for step in steps:
            match step:
                case Apply(_, batch):
                    self._apply(batch)
                case Clear():
                    self._sink.clear()
                case Replay(first):
                    self._drop_replay()
                    self._replaying = self._tasks.create_task(self._replay(first))
            if time.monotonic() - self._slice_began >= BURST_S:
                await asyncio.sleep(0)
                self._slice_began = time.monotonic()
        if (state := self._feed.state) is not self._told:
            self._told = state
            self._sink.state(state)

    def _apply(self, batch: bytes) -> None:
        try:
            events = self._decoder.decode(batch)
        except UnreadableBatch as error:
            logger.warning("%s: %s", self._endpoint, error)
            self._feed.unreadable()
            self._sink.clear()
            return
        self._sink.apply(events)
        if any(isinstance(event, Cleared) for event in events):
            self._feed.cleared()
