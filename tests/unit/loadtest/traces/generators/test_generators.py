from __future__ import annotations

from collections import Counter
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.traces.forms.own import jsonl
from loadtest.traces.generators import GENERATORS, generate
from loadtest.traces.generators.images import image_tokens
from loadtest.traces.trace import TraceError

GOLDEN = {
    "shared-prefix:count=50,groups=5,system=64,popularity=zipf": "43301df50da2b144",
    "agents:count=50,arrivals=gamma": "5d7ffd25a82bdae8",
    "images:count=50,stock=10": "ad559dc14b651907",
    "audio:count=50": "d3052f98e09c7270",
    "poisson:count=50,spread=1,arrivals=even": "2397605dde2ea39d",
}


def digest(spec: str, seed: int = 0) -> str:
    return sha256(jsonl(generate(spec, seed).requests).encode()).hexdigest()[:16]


@pytest.mark.parametrize("spec", GOLDEN)
def test_a_seed_gives_this_trace_for_ever(spec: str) -> None:
    assert digest(spec) == GOLDEN[spec]
    assert digest(spec, seed=1) != GOLDEN[spec]


def test_every_generator_has_a_golden_trace() -> None:
    assert {spec.partition(":")[0] for spec in GOLDEN} == set(GENERATORS)


@given(
    st.sampled_from([name for name in GENERATORS if name != "audio"]),
    st.integers(1, 60),
    st.floats(0.1, 100),
    st.sampled_from(["poisson", "gamma", "even"]),
    st.sampled_from([0, 0.5, 1.5]),
    st.integers(1, 600),
    st.integers(0, 5),
)
def test_any_trace(name: str, count: int, rate: float, arrivals: str, spread: float, block: int, seed: int) -> None:
    spec = f"{name}:count={count},rate={rate},arrivals={arrivals},spread={spread},block={block}"
    trace = generate(spec, seed)
    assert trace == generate(spec, seed)
    assert len(trace) == count
    assert trace.requests[0].at_s == 0
    assert all(before.at_s <= after.at_s for before, after in pairwise(trace.requests))
    for request in trace.requests:
        assert request.block_tokens == block
        assert len(request.blocks) * block <= request.text_tokens, "only whole blocks are shared"
        assert len(set(request.blocks)) == len(request.blocks), "a block is at one place"


@given(st.integers(1, 9), st.integers(0, 3))
def test_a_rate_moves_requests_but_does_not_change_them(rate: int, seed: int) -> None:
    slow, fast = (generate(f"shared-prefix:count=20,groups=4,rate={r}", seed) for r in (rate, 10 * rate))
    assert [r.blocks for r in slow.requests] == [r.blocks for r in fast.requests]
    assert slow.seconds == pytest.approx(10 * fast.seconds)


def test_a_group_shares_its_system_prompt_and_nothing_else() -> None:
    trace = generate("shared-prefix:count=400,groups=4,system=100,question=30", 0)
    prefixes = {request.blocks for request in trace.requests}
    assert {len(blocks) for blocks in prefixes} == {100 // 16}
    assert len(prefixes) == 4
    assert len({block for blocks in prefixes for block in blocks}) == 4 * 6
    assert {request.input_tokens for request in trace.requests} == {130}


def test_zipf_prefers_the_first_groups() -> None:
    trace = generate("shared-prefix:count=2000,groups=10,popularity=zipf", 0)
    counts = Counter(request.blocks[0] for request in trace.requests)
    harmonic = sum(1 / n for n in range(1, 11))
    for number, first in enumerate(sorted(counts), start=1):
        assert counts[first] / 2000 == pytest.approx(1 / number / harmonic, abs=0.02)


def test_rates_and_lengths_are_those_asked_for() -> None:
    for process in ("poisson", "gamma", "even"):
        trace = generate(f"poisson:count=20000,rate=40,arrivals={process},spread=0.8,input=500,output=100", 0)
        statistics = trace.statistics
        assert statistics.requests_per_s == pytest.approx(40, rel=0.05)
        assert statistics.input_tokens.mean == pytest.approx(500, rel=0.05)
        assert statistics.output_tokens.mean == pytest.approx(100, rel=0.05)


def test_gamma_comes_in_bursts() -> None:
    def variation(process: str) -> float:
        times = [r.at_s for r in generate(f"poisson:count=5000,arrivals={process},burstiness=3", 0).requests]
        gaps = [after - before for before, after in pairwise(times)]
        mean = sum(gaps) / len(gaps)
        return (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5 / mean

    assert variation("poisson") == pytest.approx(1, rel=0.1)
    assert variation("gamma") == pytest.approx(3, rel=0.1)
    assert variation("even") == pytest.approx(0, abs=1e-9)


def test_an_agents_prompt_begins_with_its_last_one() -> None:
    trace = generate("agents:count=500,system=320", 0)
    sessions: dict[str, list[tuple[int, tuple[int, ...]]]] = {}
    for request in trace.requests:
        assert request.session is not None
        sessions.setdefault(request.session, []).append((request.input_tokens, request.blocks))
    assert len(sessions) > 20
    assert {blocks[:20] for turns in sessions.values() for _, blocks in turns} == {tuple(range(20))}
    for turns in sessions.values():
        for (short, first), (long, then) in pairwise(turns):
            assert long > short
            assert then[: len(first)] == first
    own = [set(turns[-1][1][20:]) for turns in sessions.values()]
    assert sum(map(len, own)) == len(set.union(*own)), "sessions share only the system prompt"


def test_pictures_cost_what_their_size_says() -> None:
    assert image_tokens(1280, 720) == 40 * 22
    assert image_tokens(64, 64) == 4
    assert image_tokens(1, 1) == 1
    trace = generate("images:count=200,stock=6,least=0,most=3,sizes=64x64/640x480", 0)
    shown = {image for request in trace.requests for image in request.images}
    assert len(shown) == 6
    assert {(image.width, image.height, image.tokens) for image in shown} == {(64, 64, 4), (640, 480, 300)}
    assert {len(request.images) for request in trace.requests} == {0, 1, 2, 3}


def test_clips_are_about_twelve_seconds() -> None:
    trace = generate("audio:count=2000", 0)
    lengths = sorted(request.audio_s for request in trace.requests)
    assert lengths[1000] == pytest.approx(12, rel=0.1)
    assert 0 < lengths[0] < lengths[-1] == 30
    assert all(request.input_tokens == 0 for request in trace.requests)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("nothing", "no generator is named 'nothing'; there are shared-prefix, agents"),
        ("poisson:inptu=3", "unknown key 'inptu'; poisson takes count=2000, rate=10.0, .*input=1000"),
        ("poisson:rate=0", "rate: Input should be greater than 0"),
        ("poisson:rate=inf", "rate: Input should be a finite number"),
        ("poisson:count=many", "count: Input should be a valid integer"),
        ("poisson:count", "'count' is not of the form KEY=VALUE"),
        ("poisson:count=1,count=2", "count is given twice"),
        ("poisson:arrivals=often", "arrivals: Input should be 'poisson', 'gamma' or 'even'"),
        ("images:least=5", "least <= most <= stock must hold"),
        ("images:sizes=3", "'3' is no size; write it as 1280x720"),
        ("images:sizes=9999x1", "a side has at most 8192"),
    ],
)
def test_a_wrong_spec_says_what_is_right(spec: str, why: str) -> None:
    with pytest.raises(TraceError, match=why):
        generate(spec, 0)
