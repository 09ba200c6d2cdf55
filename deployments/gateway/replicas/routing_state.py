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
from deployments.gateway.replicas.replica_values import ReplicaValues


def replica_values(served: ServedModel, feeds: Feeds, now: float) -> ReplicaValues:
    """As of now. By columns: a thousand replicas one by one would hold the event loop for fifty milliseconds."""
    router, table = served.router, served.router.table
    replicas = list(router.replicas.values())
    rows = np.array([replica.row for replica in replicas], dtype=np.intp)
    scales = [router.scale(replica) for replica in replicas]
    theta = table.theta[rows]
    gauges: dict[str, list[float]] = {
        "open_requests": table.open_requests[rows].tolist(),
        "waiting_seconds": table.waiting_seconds(rows, now).tolist() if replicas else [],
        "prefill_tokens_per_second": (1000 / theta[:, 1]).tolist(),
        "audio_seconds_per_second": (1 / theta[:, 4]).tolist(),
        "token_seconds": [scale.token_s for scale in scales],
        "speed_observations": [scale.observations for scale in scales],
        "prefix_trust": table.trust[rows].tolist(),
        "prefix_blocks": [router.index.blocks(replica.row) for replica in replicas],
    }
    states = [feeds.state(replica.incarnation) or "" for replica in replicas]
    names = [replica.name for replica in replicas]
    return ReplicaValues(served.model.name, [replica.pool for replica in replicas], names, states, gauges)


class RoutingCollector(Collector):
    """What is read at the moment of the scrape rather than counted along; of replicas, see `replica_values`."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def collect(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily("gateway_waiting_requests", "Requests that wait for a replica", labels=["model"])
        keys = GaugeMetricFamily("gateway_index_keys", "Prefixes in the index", labels=["model"])
        size = GaugeMetricFamily("gateway_index_bytes", "Memory of the index, estimated", labels=["model"])
        for served in self._directory.models:
            name = served.model.name
            waiting.add_metric([name], served.admission.waiting)
            keys.add_metric([name], served.router.index.keys)
            size.add_metric([name], served.router.index.size_bytes())
        yield from (waiting, keys, size)


def describe(served: ServedModel, feeds: Feeds, most: int) -> dict[str, Any]:
    """One model's router: its replicas, its index, and the last `most` decisions, the newest first."""
    values = replica_values(served, feeds, time.monotonic())
    return {
        "model": served.model.name,
        "policy": type(served.router.policy).__name__,
        "waiting_requests": served.admission.waiting,
        "index": {"keys": served.router.index.keys, "bytes": served.router.index.size_bytes()},
        "replicas": [
            {
                "replica": values.replicas[number],
                "pool": values.pools[number],
                "feed": values.report_states[number] or None,
                **{name: round(column[number], 6) for name, column in values.gauges.items()},
            }
            for number in range(len(values.replicas))
        ],
        "decisions": [decision.as_dict() for decision in list(served.decisions)[: -most - 1 : -1]],
    }
