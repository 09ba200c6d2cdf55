"""Keys of prefixes: one 60-bit number per 64 tokens, equal for equal prefixes, whatever blocks an engine keeps.

The key of a prefix is its root (model, adapter, salt) plus one term for each 64 tokens of it, modulo 2**60. A term is
a hash of its tokens and its place, so that the order counts: the tokens times secret multipliers (Carter and Wegman,
Universal Classes of Hash Functions, 1979), spread evenly by `mixed`, masked by a secret word and spread again. A sum
needs no step per term, so numpy makes all keys at once: a chain of digests takes several times as long, on the event
loop. Python keeps a number of 60 bits in 32 bytes, and one of 64 in 48.

Root, multipliers and mask come from a secret. Two processes with the same secret make the same keys: a cache reporter
beside an engine, and gateways. Without the secret nobody can construct two prefixes that share a key, or look up which
text a key belongs to. This is no cipher: keys travel over encrypted sockets all the same.
"""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b, shake_256
from operator import mul

import numpy as np

from deployments.routing.mixing import WORD, Words, mixed, mixed_number
from deployments.routing.prompt import MediaMark, Prompt

KEY_TOKENS = 64
KEY_BITS = 60
SECRET_BYTES = 32

_OF_THIS_PROCESS = secrets.token_bytes(SECRET_BYTES)
_SCHEME = b"prefix keys: 60 bits for 64 tokens"
_STRIDE = 0x9E3779B97F4A7C15
_KEY = 2**KEY_BITS - 1


@dataclass(frozen=True, slots=True)
class PrefixEnd:
    """Where a prefix ends, for its keys to go on from there.

    Attributes:
        key: of its full runs of `KEY_TOKENS` tokens; its root, where it has none.
        runs: how many there are.
        rest: tokens after them.
        rest_sum: of those tokens' products with their multipliers, modulo 2**64.
    """

    key: int
    runs: int = 0
    rest: int = 0
    rest_sum: int = 0


class PrefixKeys:
    """Makes the keys of one secret, of `SECRET_BYTES` bytes. Without one they mean nothing outside this process."""

    def __init__(self, secret: bytes | None = None) -> None:
        secret = _OF_THIS_PROCESS if secret is None else secret
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"a secret of {len(secret)} bytes; use {SECRET_BYTES}")
        words = np.frombuffer(shake_256(_SCHEME + secret).digest(8 * (KEY_TOKENS + 1)), dtype=np.uint64)
        self._multipliers = words[:KEY_TOKENS] | np.uint64(1)
        self._numbers: list[int] = self._multipliers.tolist()
        self._mask = int(words[KEY_TOKENS])
        self._secret = secret
        self.fingerprint = blake2b(_SCHEME, digest_size=8, key=secret, person=b"fingerprint").digest()
        """8 bytes that are equal where the keys are. They tell nothing of the secret."""

    def root_key(self, model: str, adapter: str = "", salt: str = "") -> int:
        """What every key of a model, adapter and salt starts from."""
        digest = blake2b(digest_size=8, key=self._secret)
        for part in (model, adapter, salt):
            encoded = part.encode(errors="surrogatepass")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
        return int.from_bytes(digest.digest(), "big") >> 64 - KEY_BITS

    def prompt_keys(self, prompt: Prompt, root: int) -> list[int]:
        """Keys of a prompt's full runs of `KEY_TOKENS` tokens, in order."""
        count = len(prompt.token_ids) // KEY_TOKENS
        if not count:
            return []
        words = _words(prompt.token_ids)
        for medium in prompt.media:
            words[medium.start : medium.start + medium.tokens] = _identity_word(medium.identity)
        sums = words[: count * KEY_TOKENS].reshape(count, KEY_TOKENS) @ self._multipliers
        keys: list[int] = self._keys(sums, PrefixEnd(root)).tolist()
        return keys

    def block_keys(
        self, token_ids: Sequence[int], marks: Sequence[MediaMark], prefix: PrefixEnd, block_tokens: int
    ) -> list[tuple[PrefixEnd, list[int]]]:
        """For each block of tokens that follow `prefix`: where it ends, and the keys of the runs that end in it."""
        count = len(token_ids) // block_tokens
        if count == 1 and not marks and prefix.rest + block_tokens <= KEY_TOKENS:
            return [self._within_a_run(token_ids, prefix, prefix.rest + block_tokens)]
        words = _marked(_words(token_ids), marks)[: count * block_tokens]
        if not count:
            return []
        products = words * np.resize(np.roll(self._multipliers, -prefix.rest), len(words))
        upto = np.concatenate([np.zeros(1, np.uint64), np.cumsum(products, dtype=np.uint64)])
        # Of this prefix's rest and these words: where the runs end, and the sum before each of them.
        run_ends = np.arange(KEY_TOKENS - prefix.rest, len(words) + 1, KEY_TOKENS)
        before_runs = np.concatenate([-np.array([prefix.rest_sum], np.uint64), upto[run_ends]])
        keys = self._keys(np.diff(before_runs), prefix).tolist()
        block_ends = np.arange(block_tokens, len(words) + 1, block_tokens)
        runs = np.searchsorted(run_ends, block_ends, side="right")
        rest_sums = (upto[block_ends] - before_runs[runs]).tolist()
        blocks: list[tuple[PrefixEnd, list[int]]] = []
        known = 0
        for end, run, rest_sum in zip(block_ends.tolist(), runs.tolist(), rest_sums, strict=True):
            rest = prefix.rest + end - run * KEY_TOKENS
            key = keys[run - 1] if run else prefix.key
            blocks.append((PrefixEnd(key, prefix.runs + run, rest, rest_sum), keys[known:run]))
            known = run
        return blocks

    def _within_a_run(self, token_ids: Sequence[int], prefix: PrefixEnd, rest: int) -> tuple[PrefixEnd, list[int]]:
        """One short block, as each step of an answer fills: without arrays, which take several times as long."""
        rest_sum = prefix.rest_sum + sum(map(mul, token_ids, self._numbers[prefix.rest : rest])) & WORD
        if rest < KEY_TOKENS:
            return PrefixEnd(prefix.key, prefix.runs, rest, rest_sum), []
        placed = rest_sum + prefix.runs * _STRIDE & WORD
        key = prefix.key + mixed_number(mixed_number(placed) ^ self._mask) & _KEY
        return PrefixEnd(key, prefix.runs + 1), [key]

    def _keys(self, sums: Words, prefix: PrefixEnd) -> Words:
        """Keys of runs with these sums, after the full runs of `prefix`."""
        places = np.arange(prefix.runs, prefix.runs + len(sums), dtype=np.uint64)
        terms = mixed(mixed(sums + places * np.uint64(_STRIDE)) ^ np.uint64(self._mask))
        terms[:1] += np.uint64(prefix.key)  # of an array: it wraps without a warning
        return np.cumsum(terms, dtype=np.uint64) & np.uint64(_KEY)


def _words(token_ids: Sequence[int]) -> Words:
    # By way of `array`: three times as fast as numpy's own reading of a list.
    return np.frombuffer(array("Q", token_ids), dtype=np.uint64)


def _marked(words: Words, marks: Sequence[MediaMark]) -> Words:
    """The words with a medium's identity in place of its placeholders: from each mark as far as they are the same."""
    if not marks:
        return words
    marked = words.copy()
    starts = [mark.start for mark in marks] + [len(words)]
    for mark, limit in zip(marks, starts[1:], strict=True):
        first = max(0, mark.start)
        others = np.flatnonzero(words[first:limit] != words[first])
        end = first + int(others[0]) if others.size else limit
        marked[first:end] = _identity_word(mark.identity)
    return marked


def _identity_word(identity: str) -> np.uint64:
    """A word that no token is, for a picture: above every token id."""
    digest = blake2b(identity.encode(errors="surrogatepass"), digest_size=8, person=b"media")
    return np.uint64(int.from_bytes(digest.digest(), "big") | 1 << 63)
