"""Which of several equal candidates is taken."""

from __future__ import annotations

import random

import numpy as np

from deployments.routing.work import Floats


def cheapest(price: Floats, chance: random.Random) -> int:
    """The place of the least price; among equal ones by chance."""
    least = np.flatnonzero(price == price.min())
    return int(least[0]) if least.size == 1 else int(least[chance.randrange(least.size)])
