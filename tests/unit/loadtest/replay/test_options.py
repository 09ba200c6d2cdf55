from __future__ import annotations

import resource
from pathlib import Path

import pytest

from loadtest.command import Refused
from loadtest.latency import Slo
from loadtest.replay.__main__ import main
from loadtest.replay.run import Options, chosen, make_room
from loadtest.replay.summary import Judged
from loadtest.traces.generators import generate
from loadtest.traces.trace import TraceError
from tests.support.options import options_of


def test_the_defaults_are_those_of_the_options() -> None:
    assert options_of(main, ["--trace", "poisson"]) == Options(traces=("poisson",))


def test_every_option_arrives() -> None:
    asked = """
        --trace model=a:poisson --trace model=b:audio --endpoint http://x --api-key k --model m --rate 3 --start 2
        --count 5 --scale 0.5 --seed 7 --route chat --free-length --max-in-flight 9 --timeout 8 --out o
        --slo-ttft 1 --slo-tpot 0.1 --prefill-rate 1000
    """
    given = options_of(main, asked.split())
    assert given == Options(
        traces=("model=a:poisson", "model=b:audio"),
        endpoint="http://x",
        api_key="k",
        model="m",
        route="chat",
        whole_answers=False,
        scale=0.5,
        start=2,
        count=5,
        rate=3.0,
        seed=7,
        max_in_flight=9,
        timeout_s=8.0,
        out=Path("o"),
        judged=Judged(Slo(1.0, 0.1), 1000.0),
    )
    assert given.judged.prefill_s(500) == 0.5


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "--trace poisson --rate 0",
        "--trace poisson --speed 2 --rate 3",
        "--trace poisson --count 0",
        "--trace poisson --start -1",
        "--trace poisson --fleet f --endpoint e",
        "--trace poisson --route responses",
    ],
)
def test_wrong_options_are_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(wrong.split())
    assert "error" in capsys.readouterr().err


def test_which_requests_are_played_and_how_fast() -> None:
    whole = generate("poisson:count=20", 3)
    options = Options(traces=("poisson:count=20",), seed=3)
    assert chosen(options).requests == whole.requests
    assert chosen(options).name == "poisson"
    part = chosen(Options(traces=("poisson:count=20",), seed=3, start=5, count=10, speed=2.0))
    assert part.requests == whole.window(5, 10).scaled(2.0).requests
    assert len(chosen(Options(traces=("poisson:count=20",), start=15, count=10))) == 5
    assert chosen(Options(traces=("poisson:count=20",), rate=7.0)).requests_per_s == pytest.approx(7)
    with pytest.raises(TraceError, match="from number 20 on; it has 20"):
        chosen(Options(traces=("poisson:count=20",), start=20))


def test_a_mix_is_played_on_one_clock() -> None:
    mixed = chosen(Options(traces=("model=a:poisson:count=5", "model=b:poisson:count=5")))
    times = {name: [r.at_s for r in mixed.requests if r.model == name] for name in ("a", "b")}
    assert len(mixed) == 10
    assert mixed.name == "a:poisson + b:poisson"
    assert times["a"] != times["b"], "two traces of one kind do not beat as one"


def test_sockets_that_the_machine_does_not_allow_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits))
    make_room(100)
    assert raised == []
    make_room(3000)
    assert raised == [(3128, 4096)]
    with pytest.raises(Refused, match="may open 4096 files; give --max-in-flight 3968 or less"):
        make_room(4000)
