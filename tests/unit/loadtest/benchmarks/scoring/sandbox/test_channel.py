from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.benchmarks.scoring.sandbox import frames
from loadtest.benchmarks.scoring.sandbox.channel import CalledOff, Channel, Ended, TooLate, TooMuch


class Ends:
    def __init__(self) -> None:
        self.jail_in, to_jail = os.pipe()
        from_jail, self.jail_out = os.pipe()
        self.files = {self.jail_in, to_jail, from_jail, self.jail_out}
        self.stop = threading.Event()
        self.channel = Channel(to_jail, from_jail, self.stop)

    def close(self, *files: int) -> None:
        for file in files:
            self.files.remove(file)
            os.close(file)


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close(*set(made.files))


@given(st.lists(st.tuples(st.sampled_from([b"O", b"F"]), st.binary(max_size=500)), max_size=5))
def test_messages_come_as_they_were_sent(messages: list[tuple[bytes, bytes]]) -> None:
    made = Ends()
    for kind, payload in messages:
        frames.send(made.jail_out, kind, payload)
    assert [made.channel.next(1, 500) for _ in messages] == messages
    made.close(*set(made.files))


def test_a_question_and_its_answer(ends: Ends) -> None:
    def jail() -> None:
        assert frames.receive(ends.jail_in) == (b"T", b"x" * 10**6)
        frames.send(ends.jail_out, b"O", b"y" * 10**6)

    thread = threading.Thread(target=jail)
    thread.start()
    assert ends.channel.ask(b"T", b"x" * 10**6, 10, 10**6) == (b"O", b"y" * 10**6)
    thread.join()


def test_every_wait_ends(ends: Ends) -> None:
    with pytest.raises(TooLate):
        ends.channel.next(0.01, 10)
    with pytest.raises(TooLate):
        ends.channel.ask(b"T", b"x" * 10**7, 0.01, 10)
    frames.send(ends.jail_out, b"O", b"x" * 11)
    with pytest.raises(TooMuch):
        ends.channel.next(1, 10)


def test_called_off_by_another_thread(ends: Ends) -> None:
    threading.Timer(0.05, ends.stop.set).start()
    with pytest.raises(CalledOff):
        ends.channel.next(60, 10)


def test_a_jail_that_is_gone(ends: Ends) -> None:
    ends.close(ends.jail_in)
    with pytest.raises(Ended):
        ends.channel.ask(b"T", b"", 1, 10)
    os.write(ends.jail_out, b"O\x05\x00\x00\x00abc")
    ends.close(ends.jail_out)
    with pytest.raises(Ended):
        ends.channel.next(1, 10)


def test_the_jails_end_notices_the_end(ends: Ends) -> None:
    to_jail = ends.channel._to
    os.write(to_jail, b"T\x05\x00\x00\x00abc")
    ends.close(to_jail)
    with pytest.raises(EOFError):
        frames.receive(ends.jail_in)
    assert frames.receive(ends.jail_in) is None
