"""The power of two choices (Mitzenmacher, IEEE TPDS 12(10), 2001): of two replicas drawn by chance, the one with fewer
requests open. `power_of_two` of SGLang's gateway and the default of Ray Serve.

Ray Serve asks the two for their queue lengths; here they are those of the bookings, which are never stale.
"""

from __future__ import annotations

import numpy as np

from deployments.routing.policy import Choice, Situation, chosen

DRAWN = 2


class PowerOfTwo:
    """Without a state: the two are drawn anew for each request."""

    uses_keys, uses_prefixes = False, False

    def choose(self, situation: Situation) -> Choice:
        count = len(situation.rows)
        drawn = situation.chance.sample(range(count), min(DRAWN, count))
        # They come in a random order, so that the first of two equal ones is a random one.
        place = min(drawn, key=situation.open_requests.__getitem__)
        was_drawn = np.zeros(count)
        was_drawn[drawn] = 1.0
        return chosen(situation, place, {"drawn": was_drawn, "open_requests": situation.open_requests})
