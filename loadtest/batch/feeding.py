"""Hands a file's lines to the queue as room comes free: never more of them in memory than a window."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import ray

from loadtest.batch.lines import Line
from loadtest.batch.replies import packed
from loadtest.batch.store import Store

MOST_LINES = 20_000
MOST_BYTES = 256 * 2**20
PER_PUT_LINES = 256
PER_PUT_BYTES = 8 * 2**20
RPC_S = 60.0
POLL_S = 1.0


class Feeder:
    """Reads in a thread of its own. Lines that are answered already are passed over."""

    def __init__(self, lines: Iterator[Line], store: Store, samples: Any) -> None:
        self._lines, self._store, self._samples = lines, store, samples
        self._open: dict[int, tuple[str, int]] = {}
        self._bytes = 0
        self._room = threading.Condition()
        self._stopped = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive() or bool(self._open)

    def join(self, timeout_s: float | None = None) -> None:
        """Waits for the end of its reading. Raises what ended it, if something did."""
        self._thread.join(timeout_s)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        with self._room:
            self._stopped = True
            self._room.notify_all()

    def settle(self, place: int) -> str | None:
        """The custom_id of a line that is answered now; None where it was before."""
        with self._room:
            custom_id, size = self._open.pop(place, (None, 0))
            self._bytes -= size
            self._room.notify_all()
        return custom_id

    def _run(self) -> None:
        try:
            self._feed()
        except BaseException as failure:
            self._failure = failure
        finally:
            with contextlib.suppress(Exception):  # where the queue is gone, the job has ended already
                ray.get(self._samples.close.remote(), timeout=RPC_S)

    def _feed(self) -> None:
        chunk: list[tuple[int, bytes]] = []
        size = 0
        for line in self._lines:
            if line.custom_id in self._store.answered or line.custom_id in self._store.failed:
                continue
            body = packed(line)
            if not self._take_room(line, len(body)):
                return
            chunk.append((line.number, body))
            size += len(body)
            if len(chunk) >= PER_PUT_LINES or size >= PER_PUT_BYTES:
                self._put(chunk)
                chunk, size = [], 0
        self._put(chunk)

    def _take_room(self, line: Line, size: int) -> bool:
        """Waits for room; False where it was stopped. A chunk that is being gathered is far smaller than the room."""
        with self._room:
            while (
                not self._stopped and self._open and (len(self._open) >= MOST_LINES or self._bytes + size > MOST_BYTES)
            ):
                self._room.wait(POLL_S)
            self._open[line.number] = (line.custom_id, size)
            self._bytes += size
            return not self._stopped

    def _put(self, chunk: list[tuple[int, bytes]]) -> None:
        if chunk:
            items = [(number, number) for number, _ in chunk]
            ray.get(self._samples.put.remote(items, [body for _, body in chunk]), timeout=RPC_S)
