from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadtest.batch import run as batch
from loadtest.batch.__main__ import main
from loadtest.batch.feeding import Feeder
from loadtest.batch.lines import read_lines
from loadtest.batch.replies import WholeReplies
from loadtest.batch.run import Options, run
from loadtest.batch.store import ERRORS, OUTPUT, Store
from loadtest.client import Outcome
from loadtest.command import Refused
from tests.support.options import options_of
from tests.unit.loadtest.batch.queue_double import QueueDouble, without_ray

LINES = 9
NOWHERE = "http://127.0.0.1:1"


def write(file: Path, lines: int = LINES) -> Path:
    body = {"model": "m", "prompt": "x"}
    made = [{"custom_id": f"q{n}", "method": "POST", "url": "/v1/completions", "body": body} for n in range(lines)]
    file.write_text("".join(json.dumps(one) + "\n" for one in made))
    return file


def outcome(place: int, status: int = 200) -> Outcome:
    if status == 200:
        answer = WholeReplies().answer(b'{"choices": []}')
        return Outcome(place, place, 0.0, 1.0, 1, answer, status=200)
    return Outcome(place, place, 0.0, 1.0, 1, None, f"status {status}", status=status)


def ids(file: Path) -> list[str]:
    return [json.loads(line)["custom_id"] for line in file.read_text().splitlines()]


def one_try(source: Path, out: Path, frames: list[list[int]], failing: set[int]) -> None:
    """A driver's work without Ray: these frames of outcomes, also of lines that were answered before."""
    queue = QueueDouble()
    with Store(out, source, LINES, None) as store:
        feeder = Feeder(read_lines(source), store, queue)
        feeder.start()
        feeder.join(5)
        for frame in frames:
            batch._book([outcome(place, 400 if place in failing else 200) for place in frame], feeder, store, queue)


@given(
    tries=st.lists(
        st.tuples(
            st.lists(st.lists(st.integers(1, LINES), max_size=4), max_size=6),
            st.sets(st.integers(1, LINES)),
            st.integers(0, 10**6),
            st.integers(0, 10**6),
        ),
        max_size=4,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_kills_at_any_byte_and_each_line_exactly_once(
    tries: list[tuple[list[list[int]], set[int], int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each try answers some lines, some of them twice, and is cut off at any byte of either file; the last is not."""
    folder = tmp_path_factory.mktemp("batch")
    source, out = write(folder / "in.jsonl"), folder / "out"
    with pytest.MonkeyPatch.context() as patched:
        without_ray(patched)
        for frames, failing, *cuts in tries:
            before = [size_of(out / name) for name in (OUTPUT, ERRORS)]
            one_try(source, out, frames, failing)
            for name, whole, cut in zip((OUTPUT, ERRORS), before, cuts, strict=True):
                written = size_of(out / name) - whole
                with (out / name).open("r+b") as file:
                    file.truncate(whole + cut % (written + 1))
        one_try(source, out, [list(range(1, LINES + 1))], set())
    assert Counter(ids(out / OUTPUT) + ids(out / ERRORS)) == Counter(f"q{n}" for n in range(LINES))


def size_of(file: Path) -> int:
    """Of a file's whole lines, in bytes."""
    return file.read_bytes().rfind(b"\n") + 1 if file.exists() else 0


def test_only_what_the_endpoint_could_not_do_counts_against_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)
    source, queue = write(tmp_path / "in.jsonl"), QueueDouble()
    with Store(tmp_path / "out", source, LINES, None) as store:
        feeder = Feeder(read_lines(source), store, queue)
        feeder.start()
        feeder.join(5)
        frame = [outcome(place, status) for place, status in enumerate((200, 400, 404, 0, 503, 429), start=1)]
        assert batch._book(frame, feeder, store, queue) == 3
        assert (len(store.answered), len(store.failed), sorted(queue.waiting)) == (1, 5, [7, 8, 9])


def answered(source: Path, out: Path, answers: int, failures: int = 0) -> None:
    names = [{"custom_id": f"q{n}"} for n in range(answers + failures)]
    with Store(out, source, LINES, None) as store:
        store.add(names[:answers], names[answers:])


def test_a_batch_that_is_done_needs_no_endpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = write(tmp_path / "in.jsonl"), tmp_path / "out"
    answered(source, out, LINES)
    assert run(Options(source, out, endpoint=NOWHERE))
    assert run(Options(source, out, endpoint=NOWHERE, retry_failed=True))
    assert f"9 of 9 lines answered in {out / OUTPUT}\n" in capsys.readouterr().out


def test_failures_are_told_and_survive_an_endpoint_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = write(tmp_path / "in.jsonl"), tmp_path / "out"
    answered(source, out, LINES - 2, failures=2)
    assert not run(Options(source, out, endpoint=NOWHERE))
    assert (
        f"7 of 9 lines answered in {out / OUTPUT}, 2 failed in {out / ERRORS}; --retry-failed"
        in capsys.readouterr().out
    )
    with pytest.raises(Refused, match="nothing answers at"):
        run(Options(source, out, endpoint=NOWHERE, retry_failed=True))
    assert ids(out / ERRORS) == ["q7", "q8"]


def test_what_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="No such file"):
        run(Options(tmp_path / "none.jsonl", tmp_path / "out"))
    with pytest.raises(Refused, match="nothing answers at"):
        run(Options(write(tmp_path / "in.jsonl"), tmp_path / "out", endpoint=NOWHERE))
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="File exists"):
        run(Options(write(tmp_path / "in.jsonl"), tmp_path / "file", endpoint=NOWHERE))


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--input", "a.jsonl", "--output", "o", "--model", "m", "--attempts", "2", "--window", "7"]
    options = options_of(main, arguments)
    assert (options.source, options.output, options.model) == (Path("a.jsonl"), Path("o"), "m")
    assert (options.attempts, options.foreign.window, options.retry_failed) == (2, 7, False)

    def ending(how: Any) -> int:
        def ended(_: Options) -> bool:
            if isinstance(how, BaseException):
                raise how
            return bool(how)

        monkeypatch.setattr("loadtest.batch.__main__.run", ended)
        return main(arguments)

    assert [ending(how) for how in (True, False, Refused("why"), KeyboardInterrupt())] == [0, 1, 2, 130]
    assert "error: why\ninterrupted: what was answered is kept; the same command goes on" in capsys.readouterr().err
