"""What a gateway process knows of its replicas, as numbers: for Prometheus, and on its way to the node's supervisor."""

from __future__ import annotations

import msgspec

REPLICA_GAUGES = {
    "open_requests": "Requests open on a replica",
    "waiting_seconds": "Booked work whose first token has not come, at the replica's own speed",
    "prefill_tokens_per_second": "Learned speed at the start of a prompt",
    "audio_seconds_per_second": "Learned speed of speech",
    "token_seconds": "Learned time between two tokens of an answer",
    "speed_observations": "Observations that the speed was learned from",
    "prefix_trust": "Share of predicted prefix tokens that the engine is expected to have",
    "prefix_blocks": "Blocks of the replica's prefix cache that are known",
}


class ReplicaValues(msgspec.Struct, array_like=True):
    """The values of `REPLICA_GAUGES` for all replicas of one model: columns, with an entry for each replica.

    `report_states`: how far what is known of each one's cache is right (`FeedState`); '' where nobody reports.
    """

    model: str
    pools: list[str]
    replicas: list[str]
    report_states: list[str]
    gauges: dict[str, list[float]]
