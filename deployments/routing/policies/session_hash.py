"""Session affinity: a conversation stays on one replica, whatever its load; as vllm-project/router's `consistent_hash`
and Ray Serve's ConsistentHashRouter do by the session's header.

A request without a session goes by the first 64 tokens of its prompt, and by chance where it is shorter. Where its
home is full, ejected or gone it takes the next in the key's order, and is back with the home's return.

Unlike theirs it ranks by rendezvous hashing instead of a ring. Sessions have the same home for every gateway; keys of
prompts are secret to each process, so that without a session two gateways disagree.
"""

from __future__ import annotations

from deployments.routing.policies.rendezvous import Rendezvous, word_of
from deployments.routing.policy import Choice, Situation, chosen


class SessionHash:
    """State: only the hashes of the replicas' names."""

    uses_keys, uses_prefixes = True, False

    def __init__(self) -> None:
        self._rendezvous = Rendezvous()

    def choose(self, situation: Situation) -> Choice:
        request = situation.request
        if request.session is not None:
            key = word_of(request.session)
        elif request.keys:
            key = request.keys[0]
        else:
            return chosen(situation, situation.chance.randrange(len(situation.rows)))
        weights = self._rendezvous.weights(key, situation)
        return chosen(situation, int(weights.argmax()), {"weight": weights / 2.0**64})
