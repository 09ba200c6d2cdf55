"""Keys of prefixes: one 64-bit number per 16 tokens, equal for equal prefixes, whatever blocks an engine keeps.

The key of a prefix is its root (model, adapter, salt) plus one term for each 16 tokens of it, modulo 2**64. A term is
a hash of its tokens and its place, so that the order counts: the tokens times secret multipliers (Carter and Wegman,
Universal Classes of Hash Functions, 1979), spread evenly by `mixed`, masked by a secret word and spread again. A sum
needs no step per term, so numpy makes all keys at once: a chain of digests takes several times as long, on the event
loop.

Root, multipliers and mask come from a secret. Two processes with the same secret make the same keys: a cache reporter
beside an engine, and gateways. Without the secret nobody can construct two prefixes that share a key, or look up which
text a key belongs to. This is no cipher: keys travel over encrypted sockets all the same.
"""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Sequence
from hashlib import blake2b, shake_256

import numpy as np

from deployments.routing.mixing import Words, mixed
from deployments.routing.prompt import MediaMark, Prompt

KEY_TOKENS = 16
SECRET_BYTES = 32

_OF_THIS_PROCESS = secrets.token_bytes(SECRET_BYTES)
_STRIDE = np.uint64(0x9E3779B97F4A7C15)


class PrefixKeys:
    """Makes the keys of one secret, of `SECRET_BYTES` bytes. Without one they mean nothing outside this process."""

    def __init__(self, secret: bytes | None = None) -> None:
        secret = _OF_THIS_PROCESS if secret is None else secret
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"a secret of {len(secret)} bytes; use {SECRET_BYTES}")
        words = np.frombuffer(shake_256(b"prefix keys" + secret).digest(8 * (KEY_TOKENS + 1)), dtype=np.uint64)
        self._multipliers = words[:KEY_TOKENS] | np.uint64(1)
        self._mask = words[KEY_TOKENS]
        self._secret = secret
        self.fingerprint = blake2b(secret, digest_size=8, person=b"fingerprint").digest()
        """8 bytes that are equal where the secrets are. They tell nothing of the secret."""

    def root_key(self, model: str, adapter: str = "", salt: str = "") -> int:
        """What every key of a model, adapter and salt starts from."""
        digest = blake2b(digest_size=8, key=self._secret)
        for part in (model, adapter, salt):
            encoded = part.encode(errors="surrogatepass")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
        return int.from_bytes(digest.digest(), "big")

    def prompt_keys(self, prompt: Prompt, root: int) -> list[int]:
        """Keys of a prompt's full runs of 16 tokens, in order."""
        words = _words(prompt.token_ids)
        for medium in prompt.media:
            words[medium.start : medium.start + medium.tokens] = _identity_word(medium.identity)
        return self._continued(words, root, 0)

    def block_keys(self, token_ids: Sequence[int], marks: Sequence[MediaMark], before: int, depth: int) -> list[int]:
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
        return self._continued(words, before, depth)

    def _continued(self, words: Words, before: int, depth: int) -> list[int]:
        """Keys of `words` (one a token) after a prefix of `depth` keys."""
        count = len(words) // KEY_TOKENS
        if not count:
            return []
        runs = words[: count * KEY_TOKENS].reshape(count, KEY_TOKENS)
        places = np.arange(depth, depth + count, dtype=np.uint64)
        terms = mixed(mixed(runs @ self._multipliers + places * _STRIDE) ^ self._mask)
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
