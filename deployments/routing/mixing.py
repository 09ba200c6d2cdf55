"""Spreads 64-bit words evenly: splitmix64's finaliser (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
Generators, 2014)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

WORD = 2**64 - 1
_MIX_1, _MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)


def mixed(words: Words) -> Words:
    """Each word's image: one to one, and any bit of it turns on all bits of the word."""
    words = (words ^ (words >> _S30)) * np.uint64(_MIX_1)
    words = (words ^ (words >> _S27)) * np.uint64(_MIX_2)
    return words ^ (words >> _S31)


def mixed_number(number: int) -> int:
    """The same of one number, without an array."""
    number = (number ^ number >> 30) * _MIX_1 & WORD
    number = (number ^ number >> 27) * _MIX_2 & WORD
    return number ^ number >> 31
