from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.benchmarks.scoring.word_errors import word_error_rate, word_errors

WORDS = st.lists(st.sampled_from(["a", "b", "ab", "c", "abc"]), max_size=6)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a x c", 1),
        ("a b c", "a c", 1),
        ("a b c", "a b b c", 1),
        ("some one came", "someone came", 0),
        ("nevertheless he came", "never the less he came", 0),
        ("a b c d e", "abcd e", 4),
        ("", "a b", 2),
        ("a b", "", 2),
        ("", "", 0),
        # Behind an insertion the greedy pass is one word off and joins nothing, as the official one.
        ("some one came", "oh someone came", 2),
    ],
)
def test_worked_examples(reference: str, hypothesis: str, errors: int) -> None:
    assert word_errors(reference.split(), hypothesis.split()) == errors


@given(WORDS, WORDS)
def test_bounds(reference: list[str], hypothesis: list[str]) -> None:
    errors = word_errors(reference, hypothesis)
    assert 0 <= errors <= max(len(reference), len(hypothesis))
    assert word_errors(reference, reference) == 0
    if "".join(reference) != "".join(hypothesis):
        assert errors > 0


def test_rate_over_all_words_after_normalising() -> None:
    found = word_error_rate([("Mr. Smith won't go", "mister smith will not go"), ("the colour red", "the color blue")])
    assert (found.errors, found.words) == (1, 8)
    assert found.rate == pytest.approx(1 / 8)
    assert word_error_rate([]).rate == 0


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors", "words"),
    [
        ("twenty five thousand dollars", "$25,000", 0, 1),
        ("one thousand and one nights", "1,001 nights", 0, 2),
        ("the cause of it", "the because of it", 1, 4),
        ("i dunno kinda", "i do not know kind of", 5, 3),
        ("naïve résumé", "naive resume", 0, 2),
        ("he went [noise] home", "he went home (laughs)", 0, 3),
        ("um he went", "he uh went hmm", 0, 2),
        ("it's a colour", "it is a color", 0, 4),
        (" trailing  spaces ", "trailing spaces", 0, 2),
        ("an other", "another", 0, 2),
        ("", "", 0, 0),
        ("word", "", 1, 1),
        ("", "two words", 2, 0),
        ("mr. and mrs. smith", "mister & missus smith", 1, 4),
        ("fifty percent", "50%", 0, 1),
    ],
)
def test_texts_as_openais_normaliser_has_them(reference: str, hypothesis: str, errors: int, words: int) -> None:
    found = word_error_rate([(reference, hypothesis)])
    assert (found.errors, found.words) == (errors, words)
