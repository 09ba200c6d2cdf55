"""Keys of prefixes: one 64-bit number per 16 tokens, equal for equal prefixes, whatever blocks an engine keeps.

The key of a prefix is its root (model, adapter, salt) plus one term for each 16 tokens of it, modulo 2**64. A term is
a hash of its tokens and its place, so that the order counts: the tokens times secret multipliers (Carter and Wegman,
Universal Classes of Hash Functions, 1979), spread evenly by `mixed`. A sum needs no step per term, so numpy makes all
keys at once: a chain of digests takes several times as long, on the event loop. The multipliers are drawn anew in each
process, so that nobody can construct two prefixes that share a key; keys mean nothing outside the process that made
them.
"""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from deployments.routing.kv_events import MediaMark
from deployments.routing.mixing import Words, mixed
from deployments.routing.prompt import Prompt

KEY_TOKENS = 16

_STRIDE = np.uint64(0x9E3779B97F4A7C15)


def root_key(model: str, adapter: str = "", salt: str = "") -> int:
    """What every key of a model, adapter and salt starts from."""
    digest = blake2b(digest_size=8)
    for part in (model, adapter, salt):
        encoded = part.encode(errors="surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return int.from_bytes(digest.digest(), "big")


def prompt_keys(prompt: Prompt, root: int) -> list[int]:
    """Keys of a prompt's full runs of 16 tokens, in order."""
    words = _words(prompt.token_ids)
    for medium in prompt.media:
        words[medium.start : medium.start + medium.tokens] = _identity_word(medium.identity)
    return continued_keys(words, root, 0)


def block_keys(token_ids: Sequence[int], marks: Sequence[MediaMark], before: int, depth: int) -> list[int]:
    """Keys of tokens that follow a prefix of `depth` keys, the last of which is `before` (or the root)."""
    words = _words(token_ids)
    if marks:
        substituted = words.copy()
        starts = [mark.start for mark in marks] + [len(words)]
        for mark, limit in zip(marks, starts[1:], strict=True):
            first = max(0, mark.start)
            others = np.flatnonzero(words[first:limit] != words[first])
            end = first + int(others[0]) if others.size else limit
            substituted[first:end] = _identity_word(mark.identity)
        words = substituted
    return continued_keys(words, before, depth)


def continued_keys(words: Words, before: int, depth: int) -> list[int]:
    """Keys of `words` (one a token) after a prefix of `depth` keys."""
    count = len(words) // KEY_TOKENS
    if not count:
        return []
    runs = words[: count * KEY_TOKENS].reshape(count, KEY_TOKENS)
    places = np.arange(depth, depth + count, dtype=np.uint64)
    terms = mixed(runs @ _MULTIPLIERS + places * _STRIDE)
    terms[:1] += np.uint64(before)  # of an array: it wraps without a warning
    keys: list[int] = np.cumsum(terms, dtype=np.uint64).tolist()
    return keys


def _words(token_ids: Sequence[int]) -> Words:
    # By way of `array`: three times as fast as numpy's own reading of a list.
    return np.frombuffer(array("Q", token_ids), dtype=np.uint64)


def _identity_word(identity: str) -> np.uint64:
    """A word that no token is, for a picture: above every token id."""
    digest = blake2b(identity.encode(errors="surrogatepass"), digest_size=8, person=b"media")
    return np.uint64(int.from_bytes(digest.digest(), "big") | 1 << 63)


_MULTIPLIERS = np.frombuffer(secrets.token_bytes(8 * KEY_TOKENS), dtype=np.uint64) | np.uint64(1)
