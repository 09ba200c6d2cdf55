"""The gateway's Prometheus metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from deployments.gateway.directory import Directory

LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
WAIT = (0.0001, 0.001, 0.01, 0.1, 0.5, 1, 5, 15, 60, 120, 600)


class Metrics:
    """One registry a gateway, so that several can live in one process."""

    def __init__(self, directory: Directory) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "gateway_requests", "Answers by route, model and status", ["route", "model", "status"], registry=registry
        )
        self.duration = Histogram(
            "gateway_request_seconds",
            "Seconds from a request's head to the end of its answer",
            ["route", "model"],
            buckets=LATENCY,
            registry=registry,
        )
        self.queue_wait = Histogram(
            "gateway_queue_wait_seconds", "Seconds until a replica had room", ["model"], buckets=WAIT, registry=registry
        )
        self.retries = Counter(
            "gateway_retries",
            "Failures before the first byte, asked again elsewhere",
            ["model", "pool"],
            registry=registry,
        )
        self.cut_streams = Counter(
            "gateway_cut_streams", "Streams whose replica failed after the first byte", ["model"], registry=registry
        )
        self.tenant_requests = Counter(
            "gateway_tenant_requests", "Answers by tenant and status", ["tenant", "status"], registry=registry
        )
        self.limit_refusals = Counter(
            "gateway_limit_refusals", "Requests refused by a tenant's limit", ["tenant", "limit"], registry=registry
        )
        registry.register(_Replicas(directory))

    def render(self) -> bytes:
        return generate_latest(self.registry)


class _Replicas(Collector):
    """What is read at the moment of the scrape rather than counted along."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def collect(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily("gateway_waiting_requests", "Requests that wait for a replica", labels=["model"])
        labels = ["model", "pool", "replica"]
        requests = GaugeMetricFamily("gateway_replica_open_requests", "Requests open on a replica", labels=labels)
        waiting_s = GaugeMetricFamily(
            "gateway_replica_waiting_seconds", "Booked work whose first token has not come", labels=labels
        )
        for served in self._directory.models:
            waiting.add_metric([served.model.name], served.admission.waiting)
            table, now = served.router.table, time.monotonic()
            for replica in served.router.replicas.values():
                values = [served.model.name, replica.pool, replica.name]
                row = np.array([replica.row])
                requests.add_metric(values, int(table.open_requests[replica.row]))
                waiting_s.add_metric(values, float(table.waiting_seconds(row, now)[0]))
        yield from (waiting, requests, waiting_s)
