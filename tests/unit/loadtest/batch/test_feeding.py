from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadtest.batch import feeding
from loadtest.batch.feeding import Feeder
from loadtest.batch.lines import Line, LineError
from loadtest.batch.store import Store
from tests.unit.loadtest.batch.queue_double import QueueDouble, without_ray

LINES = 50
ROOM = 12


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)
    monkeypatch.setattr(feeding, "MOST_LINES", ROOM)
    monkeypatch.setattr(feeding, "MOST_BYTES", 1000)
    monkeypatch.setattr(feeding, "PER_PUT_LINES", 4)
    monkeypatch.setattr(feeding, "PER_PUT_BYTES", 100)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    source = tmp_path / "in.jsonl"
    source.write_text("")
    with Store(tmp_path / "out", source, LINES, None) as opened:
        yield opened


def lines(sizes: list[int]) -> list[Line]:
    return [Line(n, f"q{n}", "/v1/completions", b"x" * size, "m") for n, size in enumerate(sizes, start=1)]


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def settle_all(feeder: Feeder, queue: QueueDouble, most: Callable[[], None]) -> list[int]:
    """Answers whatever waits until nothing is left, and checks before each time."""
    order = []
    deadline = time.monotonic() + 10
    while feeder.running:
        assert time.monotonic() < deadline
        most()
        for place in list(queue.waiting):
            assert feeder.settle(place) == f"q{place}"
            queue.confirm.remote([place])
            order.append(place)
        time.sleep(0.001)
    feeder.join()
    return order


def test_every_line_once_in_order_and_never_more_than_the_room(store: Store) -> None:
    queue, feeder = QueueDouble(), None

    def most() -> None:
        assert len(queue.waiting) <= ROOM

    feeder = Feeder(iter(lines([10] * LINES)), store, queue)
    feeder.start()
    eventually(lambda: len(queue.waiting) == ROOM)
    time.sleep(0.02)
    assert len(queue.waiting) == ROOM, "it waits for room"
    assert settle_all(feeder, queue, most) == list(range(1, LINES + 1))
    assert queue.closed


def test_large_lines_are_bounded_by_their_bytes(store: Store) -> None:
    queue = QueueDouble()

    def most() -> None:
        sizes = [len(body) for body in queue.waiting.values()]
        assert sum(sizes) <= 1000 or len(sizes) == 1, "one that is larger than the room goes alone"

    feeder = Feeder(iter(lines([300, 300, 300, 300, 5000, 10, 300])), store, queue)
    feeder.start()
    assert settle_all(feeder, queue, most) == list(range(1, 8))


def test_what_is_answered_or_failed_is_passed_over(store: Store) -> None:
    store.add([{"custom_id": "q2"}], [{"custom_id": "q5"}])
    queue = QueueDouble()
    feeder = Feeder(iter(lines([10] * 6)), store, queue)
    feeder.start()
    feeder.join(5)
    assert sorted(queue.waiting) == [1, 3, 4, 6]
    assert feeder.running, "they are open"
    assert [feeder.settle(place) for place in (1, 1, 3, 4, 6)] == ["q1", None, "q3", "q4", "q6"]
    assert not feeder.running


def test_it_stops_where_it_waits(store: Store) -> None:
    queue = QueueDouble()
    feeder = Feeder(iter(lines([10] * LINES)), store, queue)
    feeder.start()
    eventually(lambda: len(queue.waiting) == ROOM)
    feeder.stop()
    feeder.join(5)
    assert queue.closed
    assert len(queue.waiting) == ROOM


def test_what_ended_its_reading_is_raised(store: Store) -> None:
    def broken() -> Iterator[Line]:
        yield from lines([10] * 5)
        raise LineError("in.jsonl:6: the file was changed")

    queue = QueueDouble()
    feeder = Feeder(broken(), store, queue)
    feeder.start()
    with pytest.raises(LineError, match="was changed"):
        feeder.join(5)
    assert queue.closed
