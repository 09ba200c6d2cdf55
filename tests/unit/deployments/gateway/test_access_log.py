from __future__ import annotations

import fcntl
import logging
import os
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from deployments.gateway import access_log
from deployments.gateway.access_log import LineWriter, access_logger, end_access_log, write_access_log


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("mixfleet.access", logging.INFO, "", 0, message, None, None)


@contextmanager
def small_pipe() -> Iterator[tuple[int, int]]:
    """A pipe of one page, its reading and its writing end."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, select.PIPE_BUF)
    try:
        yield reading, writing
    finally:
        for descriptor in (reading, writing):
            with suppress(OSError):
                os.close(descriptor)


def test_lines_are_written_in_order_before_the_end(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        writer = LineWriter(file.fileno())
        for number in range(1000):
            writer.emit(record(f"line {number} ä"))
        writer.close()
    assert (tmp_path / "log").read_text().splitlines() == [f"line {number} ä" for number in range(1000)]
    assert writer.dropped == 0


def test_log_goes_to_its_own_place_only(tmp_path: Path) -> None:
    elsewhere: list[logging.LogRecord] = []
    root = logging.Handler()
    root.emit = elsewhere.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(root)
    try:
        with (tmp_path / "log").open("wb") as file:
            writer = write_access_log(file.fileno())
            access_logger.info("100 %")
            end_access_log(writer)
    finally:
        logging.getLogger().removeHandler(root)
        access_logger.propagate = True
    assert (tmp_path / "log").read_text() == "100 %\n"
    assert not elsewhere


def test_reader_that_stands_stops_nobody_and_dropped_lines_are_counted() -> None:
    with small_pipe() as (reading, writing):
        writer = LineWriter(writing, most_waiting=50)
        started = time.monotonic()
        for number in range(20_000):
            writer.emit(record(f"{number} " + "x" * 100))
        assert time.monotonic() - started < 30
        assert writer.dropped > 19_000
        registry = CollectorRegistry()
        registry.register(writer)
        assert f"gateway_access_log_dropped_total {float(writer.dropped)}" in generate_latest(registry).decode()
        os.close(reading)
        writer.close()


def test_close_does_not_wait_for_a_reader_that_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "CLOSE_S", 0.2)
    with small_pipe() as (reading, writing):
        writer = LineWriter(writing)
        for _ in range(200):
            writer.emit(record("x" * 100))
        started = time.monotonic()
        writer.close()
        assert time.monotonic() - started < 10 * access_log.CLOSE_S
        os.close(reading)
        writer.close()


def test_lines_of_several_processes_do_not_break_each_other() -> None:
    """As on one standard error that several write to."""
    with small_pipe() as (reading, writing):
        received = bytearray()

        def read() -> None:
            while piece := os.read(reading, 65_536):
                received.extend(piece)

        thread = threading.Thread(target=read)
        thread.start()
        writers = [LineWriter(writing) for _ in range(4)]
        for number in range(500):
            for writer, letter in zip(writers, "abcd", strict=True):
                writer.emit(record(letter * (10 + number % 300)))
        for writer in writers:
            writer.close()
        os.close(writing)
        thread.join()
    lines = received.decode().splitlines()
    assert len(lines) == 2000
    assert all(len(set(line)) == 1 for line in lines)


def test_output_that_is_gone_ends_nothing() -> None:
    with small_pipe() as (reading, writing):
        os.close(reading)
        writer = LineWriter(writing)
        writer.emit(record("lost"))
        writer.close()
        assert writer.dropped == 1
