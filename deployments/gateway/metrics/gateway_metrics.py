"""The gateway's Prometheus metrics."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from deployments.gateway.metrics.replica_page import replica_page
from deployments.gateway.replicas.directory import Directory
from deployments.gateway.replicas.kv_event_followers import Feeds
from deployments.gateway.replicas.replica_values import ReplicaValues
from deployments.gateway.replicas.routing_state import RoutingCollector, replica_values

LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
DECISION = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05)
WAIT = (0.0001, 0.001, 0.01, 0.1, 0.5, 1, 5, 15, 60, 120, 600)


class Metrics:
    """One registry a gateway, so that several can live in one process."""

    def __init__(self, directory: Directory, feeds: Feeds) -> None:
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
        self.time_limits = Counter(
            "gateway_time_limits", "Attempts that were ended by a limit of time", ["model", "limit"], registry=registry
        )
        self.cut_streams = Counter(
            "gateway_cut_streams", "Streams whose replica failed after the first byte", ["model"], registry=registry
        )
        self.resumed_streams = Counter(
            "gateway_resumed_streams", "Of these, those that another replica continued", ["model"], registry=registry
        )
        self.tenant_requests = Counter(
            "gateway_tenant_requests", "Answers by tenant and status", ["tenant", "status"], registry=registry
        )
        self.limit_refusals = Counter(
            "gateway_limit_refusals", "Requests refused by a tenant's limit", ["tenant", "limit"], registry=registry
        )
        self.decision = Histogram(
            "gateway_routing_seconds", "Seconds of choosing a replica", ["model"], buckets=DECISION, registry=registry
        )
        pool = ["model", "pool"]
        self.predicted_cached = Counter(
            "gateway_predicted_cached_tokens",
            "Prompt tokens that the chosen replica was expected to have cached",
            pool,
            registry=registry,
        )
        self.actual_cached = Counter(
            "gateway_actual_cached_tokens", "Prompt tokens that its engine found cached", pool, registry=registry
        )
        self.cached_error = Counter(
            "gateway_cached_tokens_error",
            "Sum of the differences between both, request by request",
            pool,
            registry=registry,
        )
        self.unkeyed = Counter(
            "gateway_unkeyed_requests",
            "Requests whose prefix could not be looked for, by why",
            ["model", "reason"],
            registry=registry,
        )
        registry.register(RoutingCollector(directory))
        self._directory, self._feeds = directory, feeds

    def of_replicas(self) -> list[ReplicaValues]:
        """What is known of the replicas of each model."""
        now = time.monotonic()
        return [replica_values(served, self._feeds, now) for served in self._directory.models]

    def render(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry) + replica_page({"": self.of_replicas()})
