"""Where the lines of the access log go: to standard error, by a thread, so that no reader can stop the event loop."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

MOST_WAITING = 10_000
"""Lines, about 5 MB. Further ones are dropped."""

GATHER_S = 0.05
"""The thread wakes up once for the lines of so many seconds, because each time costs the event loop its turn."""

PIECE_BYTES = select.PIPE_BUF
"""The most that the kernel writes to a pipe as one piece, which other processes' lines cannot break."""

CLOSE_S = 2.0
"""Within which the last lines must be written."""

access_logger = logging.getLogger("mixfleet.access")


class LineWriter(logging.Handler, Collector):
    """Writes each record's message as a line to a file descriptor. `dropped` counts the lines that were not written."""

    def __init__(self, descriptor: int, most_waiting: int = MOST_WAITING) -> None:
        super().__init__()
        self.dropped = 0
        self._descriptor, self._most_waiting = descriptor, most_waiting
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, name="access log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        if self._lines.qsize() < self._most_waiting:
            self._lines.put(record.getMessage())
        else:
            self.dropped += 1

    def close(self) -> None:
        """Returns when all lines are written, or nobody reads them."""
        self._lines.put(None)
        self._thread.join(CLOSE_S)
        super().close()

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "gateway_access_log_dropped", "Lines of the access log that were not written", value=self.dropped
        )

    def _write_all(self) -> None:
        ended = False
        while not ended:
            lines = [self._lines.get()]
            if lines[0] is not None:
                time.sleep(GATHER_S)
            lines += [self._lines.get() for _ in range(self._lines.qsize())]
            ended = None in lines
            self._write([line.encode() + b"\n" for line in lines if line is not None])

    def _write(self, lines: list[bytes]) -> None:
        piece: list[bytes] = []
        size = 0
        for line in [*lines, b""]:
            if piece and (not line or size + len(line) > PIECE_BYTES):
                self._write_piece(piece)
                piece, size = [], 0
            piece.append(line)
            size += len(line)

    def _write_piece(self, lines: list[bytes]) -> None:
        rest = b"".join(lines)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            self.dropped += len(lines)


def write_access_log(descriptor: int) -> LineWriter:
    """Has the access log of this process written there and nowhere else, until `end_access_log`."""
    writer = LineWriter(descriptor)
    access_logger.setLevel(logging.INFO)
    access_logger.propagate = False
    access_logger.addHandler(writer)
    return writer


def end_access_log(writer: LineWriter) -> None:
    """Writes the last lines."""
    access_logger.removeHandler(writer)
    writer.close()
