"""A text that is tokenised here within the limit takes an engine a second at most, for the served tokenizers."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cluster.checkpoints import resolve
from deployments.gateway.preparation.bodies.form_body import MOST_FIELD
from deployments.gateway.preparation.engine_work import TOKENISE_S
from deployments.gateway.preparation.prompts.tokens import Tokens
from tests.support.hostile_texts import OTHER_TEXTS, SPECIAL_TEXTS, TEXTS, Text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

pytestmark = pytest.mark.slow  # some 200 texts of 40,000 characters, by two tokenizers

MOST_S = 1.0
CHARACTERS = 40_000
LEAST_S = 0.03
"""What takes less is too short for a comparison, and would take an engine little at the limit, too."""

CHOSEN: dict[str, Text] = {
    **{name: text for name, text in TEXTS.items() if name.endswith("one character")},
    **SPECIAL_TEXTS,
    **OTHER_TEXTS,
}


@cache
def engine_tokenizer(checkpoint: str) -> PreTrainedTokenizerFast:
    """As vLLM calls it: transformers' tokenizer around the same library, which also makes lists of what it found."""
    from transformers import PreTrainedTokenizerFast  # two seconds, in every worker that only collects the tests

    return PreTrainedTokenizerFast(tokenizer_file=f"{resolve(checkpoint).path}/tokenizer.json")


@cache
def gateway_tokenizer(checkpoint: str) -> Tokens:
    return Tokens(Path(resolve(checkpoint).path, "tokenizer.json").read_text())


def _cpu_s(work: Callable[[], object]) -> float:
    """Of all threads: the library has its own. CPU and not time: other processes may hold this one up."""
    before = time.process_time()
    work()
    return time.process_time() - before


@pytest.mark.parametrize("checkpoint", ["tiny-gpt-oss-sums", "tiny-qwen3vl-digits"])
@pytest.mark.parametrize("make", CHOSEN.values(), ids=CHOSEN)
def test_an_engine_takes_at_most_a_second_for_what_the_gateway_tokenises_within_its_limit(
    checkpoint: str, make: Text
) -> None:
    text = make(CHARACTERS)
    ours = theirs = 0.0
    for _ in range(3):  # the most of ours against the least of theirs: a busy machine slows down any of them
        ours = max(ours, _cpu_s(lambda: gateway_tokenizer(checkpoint).encode(text)))
        took = _cpu_s(lambda: engine_tokenizer(checkpoint)(text, add_special_tokens=False))
        theirs = min(theirs or took, took)
        if theirs < LEAST_S or theirs * TOKENISE_S < ours * MOST_S:
            return
    raise AssertionError(f"{theirs:.3f} s at an engine, {ours:.3f} s here: the limit of {TOKENISE_S} s is too high")


@pytest.mark.parametrize("make", CHOSEN.values(), ids=CHOSEN)
def test_the_longest_prompt_of_an_audio_form_takes_an_engine_less_than_a_second(make: Text) -> None:
    text = make(MOST_FIELD).encode()[:MOST_FIELD].decode(errors="ignore")
    assert any(_cpu_s(lambda: engine_tokenizer("whisper-base")(text)) < MOST_S for _ in range(3))
