from __future__ import annotations

import pytest

from deployments.routing.seeds import ACCELERATORS
from loadtest.simulator.speeds import CPU, H200, SPEEDS, UnknownSpeed, speed_of


@pytest.mark.parametrize(
    ("tokens", "seconds"), [(2048, 0.0706), (8192, 0.2054), (16_384, 0.4263), (32_768, 0.983), (49_152, 1.695)]
)
def test_an_h200_takes_what_was_published(tokens: int, seconds: float) -> None:
    assert H200.arrival_s + H200.prefill_s(tokens, 8192) == pytest.approx(seconds, rel=0.01)


def test_accelerators_are_as_fast_as_their_sources_say() -> None:
    def relative(name: str) -> float:
        return SPEEDS["mi300x"].prefill_s(8192, 1024) / SPEEDS[name].prefill_s(8192, 1024)

    assert relative("mi325x") == pytest.approx(33.9 / 27.6)
    assert relative("mi355x") == pytest.approx(97.5 / 27.6)
    assert all(speed.source for speed in SPEEDS.values())


def test_several_accelerators_count_four_fifths_of_their_number() -> None:
    four = speed_of("H200", "vllm", 4)
    assert H200.prefill_s(8192, 1024) / four.prefill_s(8192, 1024) == pytest.approx(3.2)
    assert four.kv_tokens == 4 * H200.kv_tokens


def test_a_router_that_knows_the_rates_has_the_engines_own() -> None:
    seed = H200.seed(1024)
    seconds = seed.request_s + 8.192 * seed.kilotoken_s + 8.192**2 / 2 * seed.attention_s
    assert seconds == pytest.approx(H200.prefill_s(8192, 1024), rel=0.05)


@pytest.mark.parametrize("accelerator", sorted(SPEEDS.keys() & ACCELERATORS.keys()))
def test_the_routers_seeds_agree_with_the_sourced_figures(accelerator: str) -> None:
    """A seed that is ten times off, as that of a step's sequences was, sends whole sessions to one replica."""
    seed, sourced = ACCELERATORS[accelerator], SPEEDS[accelerator].seed(8192)
    for name in ("kilotoken_s", "attention_s", "image_kilotoken_s", "audio_s", "token_s", "step_s", "sequence_step_s"):
        assert 0.6 < getattr(seed, name) / getattr(sourced, name) < 1.5, name


def test_an_unknown_accelerator_is_refused_with_those_known() -> None:
    assert speed_of(None, "cpu") is CPU
    with pytest.raises(UnknownSpeed, match=r"abacus.*h200"):
        speed_of("abacus", "cuda")
