"""The default scorers of llm-d's router (llm-d/llm-d-router, pkg/epp/config/loader/defaults.go, 2026):

    score = 3 * prefix + 2 * queue + 2 * kv

- prefix: the share of the prompt that is cached there.
- queue: (most - its own) / (most - least) of the requests that wait in the engines; 1 where all are equal.
- kv: 1 - the share of its KV cache in use.

The largest score, equal ones by chance. Queue and cache use are the engines' own word at the last heartbeat and stay
the same for every choice until the next, as theirs do from scrape to scrape (every 50 ms): nothing that was chosen in
between counts. What is off by default is left out: speculative entries, the load gate, `no-hit-lru-scorer`, predicted
latency.

Unlike theirs, what is cached is told by the engines' events, as in their "precise" profile, and expected from the
moment of the choice; their default guesses it from what was routed, in blocks of 64 tokens and more.
"""

from __future__ import annotations

import numpy as np

from deployments.routing.policies.ties import cheapest
from deployments.routing.policy import Choice, Situation, chosen
from deployments.routing.work import Floats

PREFIX_WEIGHT = 3.0
QUEUE_WEIGHT = 2.0
KV_WEIGHT = 2.0


class LlmDScorers:
    """Without a state."""

    uses_keys, uses_prefixes = True, True

    def choose(self, situation: Situation) -> Choice:
        table, rows = situation.table, situation.rows
        prefix = situation.cached_tokens / max(1, situation.request.tokens)
        queue = _emptiest(table.queued[rows].astype(np.float64))
        kv = 1.0 - table.kv_use[rows]
        score = PREFIX_WEIGHT * prefix + QUEUE_WEIGHT * queue + KV_WEIGHT * kv
        terms = {"prefix": prefix, "queue": queue, "kv": kv, "score": score}
        return chosen(situation, cheapest(-score, situation.chance), terms)


def _emptiest(queued: Floats) -> Floats:
    least, most = queued.min(), queued.max()
    return np.ones(len(queued)) if least == most else (most - queued) / (most - least)
