"""The model that is not there: the next token is a hash of all tokens so far.

So any two fakes give the same answer to the same prompt, and an answer that one began another continues exactly from
the prompt's and the emitted token ids.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import blake2b

from deployments.engine.fake.tokenizer import Control, encode

SYLLABLES = [
    encode(consonant + vowel + end)[0] for consonant in "bdfgklmnprstvwyz" for vowel in "aeiou" for end in "  nr"
]
"""Every one is one token that the tokenizer gives back from its text, so that an answer that returns as a turn of the
conversation has the ids that it was emitted with, and meets its own KV blocks."""


class Answer:
    """One answer as it grows from `prompt_ids` (any token ids). Not reusable, not shared."""

    def __init__(self, prompt_ids: Sequence[int], tokens_per_answer: int) -> None:
        self._context = blake2b(array("Q", prompt_ids).tobytes(), digest_size=8)
        self._left_of_turn = _left_of_turn(prompt_ids, tokens_per_answer)

    def next_token(self) -> int:
        """The token that follows; it becomes part of the context."""
        token = SYLLABLES[int.from_bytes(self._context.digest(), "big") % len(SYLLABLES)]
        self._context.update(array("Q", (token,)).tobytes())
        if self._left_of_turn is not None:
            self._left_of_turn -= 1
        return token

    @property
    def is_over(self) -> bool:
        """Whether the model ends its turn here. A prompt in which no turn of the assistant is open never ends."""
        return self._left_of_turn is not None and self._left_of_turn <= 0


def _left_of_turn(prompt_ids: Sequence[int], tokens_per_answer: int) -> int | None:
    if max(prompt_ids, default=0) < min(Control):
        return None
    for distance, token in enumerate(reversed(prompt_ids)):
        if token == Control.ASSISTANT:
            return tokens_per_answer - distance
        if token in _TURN_MARKS:
            return None
    return None


_TURN_MARKS = frozenset({Control.SYSTEM, Control.USER, Control.TOOL, Control.END})
