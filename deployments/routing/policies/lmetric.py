"""LMetric (Zhang et al.: Simple is Better: Multiplication May Be All You Need for LLM Request Scheduling, OSDI 2026,
arXiv 2603.15202): the least product of new prefill tokens and batch size, with nothing to tune.

    score = (uncached tokens waiting there + the prompt's uncached tokens) * (requests there + 1)

Both factors include the request itself (the paper's figure 17), and requests there are those that run and those that
wait. A factor is zero only for a request without tokens, as speech is, where no prompt waits: the score then says
nothing, and the fewest requests decide. Equal ones by chance. llm-d's `lmetric-scorer` leaves out the tokens that wait.

Unlike theirs, the detector of hot prefixes (the paper's section 5.2) is left out: none of their traces needed it.
Cached tokens are the engines' own word, discounted by how often it was wrong.
"""

from __future__ import annotations

import numpy as np

from deployments.routing.policies.ties import cheapest
from deployments.routing.policy import Choice, Situation, chosen


class LMetric:
    """Without a state."""

    uses_keys, uses_prefixes = True, True

    def choose(self, situation: Situation) -> Choice:
        uncached = np.maximum(situation.request.tokens - situation.cached_tokens, 0.0)
        new_tokens = situation.waiting_tokens + uncached
        batch = situation.open_requests + 1
        score = new_tokens * batch
        terms = {"new_tokens": new_tokens, "batch": batch, "score": score}
        compared = batch if not score.any() else np.where(score == score.min(), batch, np.inf)
        return chosen(situation, cheapest(compared, situation.chance), terms)
