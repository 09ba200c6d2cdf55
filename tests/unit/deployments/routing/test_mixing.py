from __future__ import annotations

import numpy as np

from deployments.routing.mixing import mixed, mixed_number


def test_different_words_stay_different_and_any_bit_turns_about_half_of_them() -> None:
    words = np.arange(4096, dtype=np.uint64)
    images = mixed(words)
    assert len(set(images.tolist())) == len(words)
    for bit in (0, 17, 63):
        turned = images ^ mixed(words ^ np.uint64(1 << bit))
        assert 31 < np.bitwise_count(turned).mean() < 33


def test_the_published_sequence() -> None:
    """The first outputs of splitmix64 from the state 0, whose n-th state is n times the golden gamma."""
    states = np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert [mixed_number(state) for state in states.tolist()] == mixed(states).tolist()
    assert mixed(states).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
