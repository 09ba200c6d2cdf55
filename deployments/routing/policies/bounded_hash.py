"""Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, arXiv 1608.01350, 2016), as KubeAI's
`PrefixHash` has it (substratusai/kubeai, internal/loadbalancer/balance_chwbl.go; there called CHWBL).

A prompt's beginning has a home. The request goes there if then

    open requests there + 1 <= 1.25 * (all open requests + 1) / replicas

else to the next replica in the key's order of which that holds, and home where it holds of none, as in a fleet with
fewer requests than replicas. The load factor 1.25 is KubeAI's default.

Unlike theirs:
- The beginning is the prompt's second key, 32 tokens as the engine sees them; theirs is the first 100 characters of a
  conversation's first user message, whatever system prompt stands before it.
- The order is that of rendezvous hashing instead of a ring with 256 points for each replica.
- The mean is over the replicas that can take the request, not over all.
- A prompt too short to have a key, or speech, goes where least is open: theirs hashes the empty string.
- Keys are secret to each process: two gateways give the same beginning different homes.
"""

from __future__ import annotations

import numpy as np

from deployments.routing.policies.rendezvous import Rendezvous
from deployments.routing.policies.ties import cheapest
from deployments.routing.policy import Choice, Situation, chosen

LOAD_FACTOR = 1.25
PREFIX_KEYS = 2


class BoundedHash:
    """State: only the hashes of the replicas' names."""

    uses_keys, uses_prefixes = True, False

    def __init__(self) -> None:
        self._rendezvous = Rendezvous()

    def choose(self, situation: Situation) -> Choice:
        load, keys = situation.open_requests, situation.request.keys
        if not keys:
            return chosen(situation, cheapest(load, situation.chance), {"open_requests": load})
        weights = self._rendezvous.weights(keys[min(PREFIX_KEYS, len(keys)) - 1], situation)
        bound = LOAD_FACTOR * (load.sum() + 1) / len(load)
        within = load + 1 <= bound
        place = int(np.where(within, weights, 0).argmax() if within.any() else weights.argmax())
        terms = {"weight": weights / 2.0**64, "open_requests": load, "bound": np.full(len(load), bound)}
        return chosen(situation, place, terms)
