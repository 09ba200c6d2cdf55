"""What the router knows right now, for Prometheus and for people (GET /debug/routing)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from deployments.gateway.replicas.directory import Directory, ServedModel
from deployments.gateway.replicas.kv_event_followers import Feeds
from deployments.kv_cache.replay_protocol import FeedState
from deployments.routing import Replica

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


def replica_state(served: ServedModel, replica: Replica, now: float) -> dict[str, float]:
    """The values of `REPLICA_GAUGES`."""
    router, row = served.router, replica.row
    table, scale = router.table, router.scale(replica)
    return {
        "open_requests": int(table.open_requests[row]),
        "waiting_seconds": float(table.waiting_seconds(np.array([row]), now)[0]),
        "prefill_tokens_per_second": 1000 / float(table.theta[row, 1]),
        "audio_seconds_per_second": 1 / float(table.theta[row, 4]),
        "token_seconds": scale.token_s,
        "speed_observations": scale.observations,
        "prefix_trust": float(table.trust[row]),
        "prefix_blocks": router.index.blocks(row),
    }


class RoutingCollector(Collector):
    """What is read at the moment of the scrape rather than counted along."""

    def __init__(self, directory: Directory, feeds: Feeds) -> None:
        self._directory, self._feeds = directory, feeds

    def collect(self) -> Iterator[Metric]:
        labels = ["model", "pool", "replica"]
        waiting = GaugeMetricFamily("gateway_waiting_requests", "Requests that wait for a replica", labels=["model"])
        keys = GaugeMetricFamily("gateway_index_keys", "Prefixes in the index", labels=["model"])
        size = GaugeMetricFamily("gateway_index_bytes", "Memory of the index, estimated", labels=["model"])
        feeds = GaugeMetricFamily(
            "gateway_replica_feed_state", "1 for the state of a replica's KV events", labels=[*labels, "state"]
        )
        gauges = {
            name: GaugeMetricFamily(f"gateway_replica_{name}", text, labels=labels)
            for name, text in REPLICA_GAUGES.items()
        }
        now = time.monotonic()
        for served in self._directory.models:
            name = served.model.name
            waiting.add_metric([name], served.admission.waiting)
            keys.add_metric([name], served.router.index.keys)
            size.add_metric([name], served.router.index.size_bytes())
            for replica in served.router.replicas.values():
                values = [name, replica.pool, replica.name]
                for gauge, value in replica_state(served, replica, now).items():
                    gauges[gauge].add_metric(values, value)
                current = self._feeds.state(replica.incarnation)
                for state in FeedState if current else ():
                    feeds.add_metric([*values, state.value], state is current)
        yield from (waiting, keys, size, feeds, *gauges.values())


def describe(served: ServedModel, feeds: Feeds, most: int) -> dict[str, Any]:
    """One model's router: its replicas, its index, and the last `most` decisions, the newest first."""
    now = time.monotonic()
    return {
        "model": served.model.name,
        "policy": type(served.router.policy).__name__,
        "waiting_requests": served.admission.waiting,
        "index": {"keys": served.router.index.keys, "bytes": served.router.index.size_bytes()},
        "replicas": [
            {
                "replica": replica.name,
                "pool": replica.pool,
                "feed": feeds.state(replica.incarnation),
                **{name: round(value, 6) for name, value in replica_state(served, replica, now).items()},
            }
            for replica in served.router.replicas.values()
        ],
        "decisions": [decision.as_dict() for decision in list(served.decisions)[: -most - 1 : -1]],
    }
