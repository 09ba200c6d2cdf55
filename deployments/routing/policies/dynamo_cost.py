"""The default cost of NVIDIA Dynamo's KV router (ai-dynamo/dynamo, docs/components/router and
lib/kv-router/src/scheduling/selector/default.rs, 2026), in blocks:

    cost = 1.0 * max(0, prefill blocks there + the prompt's blocks - 1.0 * its blocks cached there)
           + decode blocks there + the prompt's blocks + 0 * requests there

The least cost, equal ones by chance: its temperature is 0 by default. Blocks are 16 tokens, as vLLM's usually are. What
is waiting to be prefilled counts without what was found in the cache, until its first token; decode blocks count from
the choice until the end.

Unlike theirs:
- Decode blocks are all open prompts' blocks, those of a common prefix once for each prompt: theirs counts a block that
  several share once, and thus charges the holder of a common prefix less.
- Credits for host memory (0.75) and disk (0.25) are left out: the index knows of one tier.
- Cached blocks are the engines' own word, discounted by how often it was wrong, and expected from the moment of the
  choice; theirs are undiscounted, and predicted ones off by default.
"""

from __future__ import annotations

import numpy as np

from deployments.routing.policies.ties import cheapest
from deployments.routing.policy import Choice, Situation, chosen

PREFILL_LOAD_SCALE = 1.0
OVERLAP_SCORE_CREDIT = 1.0
ACTIVE_REQUEST_WEIGHT = 0.0
BLOCK_TOKENS = 16


class DynamoCost:
    """Without a state."""

    uses_keys, uses_prefixes = True, True

    def choose(self, situation: Situation) -> Choice:
        table, rows = situation.table, situation.rows
        prompt = situation.request.tokens / BLOCK_TOKENS
        credit = OVERLAP_SCORE_CREDIT * situation.cached_tokens / BLOCK_TOKENS
        prefill = np.maximum(situation.waiting_tokens / BLOCK_TOKENS + prompt - credit, 0.0)
        decode = (table.open_tokens[rows] + table.others_tokens[rows]) / BLOCK_TOKENS + prompt
        cost = PREFILL_LOAD_SCALE * prefill + decode + ACTIVE_REQUEST_WEIGHT * situation.open_requests
        terms = {"prefill_blocks": prefill, "decode_blocks": decode, "cost_blocks": cost}
        return chosen(situation, cheapest(cost, situation.chance), terms)
