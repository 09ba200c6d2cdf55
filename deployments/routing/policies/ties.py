"""Which of several equal candidates is taken."""

from __future__ import annotations

import random

from deployments.routing.work import Floats


def cheapest(price: Floats, chance: random.Random) -> int:
    """The place of the least price; among equal ones by chance."""
    least = (price == price.min()).nonzero()[0]
    return int(least[0]) if least.size == 1 else int(least[chance.randrange(least.size)])
