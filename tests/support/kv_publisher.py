"""An engine's two KV-event sockets at a fixed address, as vLLM has them, driven by a test: real sockets, no engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import zmq

from deployments.engine.process import free_port
from deployments.kv_cache.events import KvEvent
from deployments.kv_cache.messages import END_OF_REPLAY, encode

HOST = "127.0.0.1"


class Publisher:
    """Numbers its batches from 0. `answer` must be called for replays to be answered."""

    def __init__(self, endpoints: tuple[str, str], kept: int = 10_000) -> None:
        self.endpoint, self.replay_endpoint = endpoints
        self.kept = kept
        self.replayed = 0
        self.published: list[bytes] = []
        self._context = zmq.Context()
        self._live = self._context.socket(zmq.PUB)
        self._replays = self._context.socket(zmq.ROUTER)
        self._live.bind(self.endpoint)
        self._replays.bind(self.replay_endpoint)

    def publish(self, events: Sequence[KvEvent], lost: bool = False) -> None:
        self.publish_bytes(encode(events, float(id(self))), lost)

    def publish_bytes(self, payload: bytes, lost: bool = False) -> None:
        number = len(self.published).to_bytes(8, "big")
        self.published.append(payload)
        if not lost:
            self._live.send_multipart([b"", number, payload])

    def answer(self) -> None:
        """Answers all questions that are there, as fast as it can: what the socket has no room for is lost."""
        while self._replays.poll(0):
            client, _, first = self._replays.recv_multipart()
            oldest = max(int.from_bytes(first, "big"), len(self.published) - self.kept)
            for number in range(oldest, len(self.published)):
                frames = [client, b"", b"", number.to_bytes(8, "big"), self.published[number]]
                self._replays.send_multipart(frames)
                self.replayed += 1
            self._replays.send_multipart([client, b"", b"", END_OF_REPLAY, b""])

    def send_raw(self, frames: Sequence[bytes]) -> None:
        self._live.send_multipart(frames)

    def close(self) -> None:
        self._live.close(linger=0)
        self._replays.close(linger=0)
        self._context.term()


def free_endpoints() -> tuple[str, str]:
    return f"tcp://{HOST}:{free_port(HOST)}", f"tcp://{HOST}:{free_port(HOST)}"


@contextmanager
def publisher(endpoints: tuple[str, str] | None = None, kept: int = 10_000) -> Iterator[Publisher]:
    made = Publisher(endpoints or free_endpoints(), kept)
    try:
        yield made
    finally:
        made.close()
