"""Rendezvous hashing: each key has an order of its own among the replicas, by a hash of key and name (Thaler and
Ravishankar: A Name-Based Mapping Scheme for Rendezvous, 1996).

Like a ring of many virtual nodes, it moves only the keys of a replica that leaves, evenly to all others; unlike one it
needs no structure that comings and goings would have to keep in order.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

from deployments.routing.mixing import Words, mixed
from deployments.routing.policy import Situation


class Rendezvous:
    """The names' hashes, kept until the replicas change."""

    def __init__(self) -> None:
        self._row_names: tuple[str, ...] = ()
        self._hashes: Words = np.empty(0, np.uint64)

    def weights(self, key: int, situation: Situation) -> Words:
        """(n) of the candidates: the key is at home where its weight is largest."""
        if situation.row_names is not self._row_names:
            self._row_names = situation.row_names
            self._hashes = np.array([word_of(name) for name in situation.row_names], np.uint64)
        return mixed(self._hashes[situation.rows] ^ mixed(np.array([key], np.uint64)))


def word_of(text: str) -> int:
    """The same 64-bit number for it in every process."""
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "big")
