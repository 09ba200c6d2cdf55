"""Metrics of what is limited here: queues per tenant, ejected replicas, the retry budget. Read at each scrape."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from deployments.gateway.proxy.recovery.retry_budget import RetryBudget
from deployments.gateway.replicas.directory import Directory


class LimitsCollector(Collector):
    """Of one gateway process."""

    def __init__(self, directory: Directory, retries: RetryBudget) -> None:
        self._directory, self._retries = directory, retries

    def collect(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            "gateway_tenant_waiting_requests",
            "Requests of a tenant that wait for a replica",
            labels=["model", "tenant"],
        )
        ejected = GaugeMetricFamily(
            "gateway_ejected_replicas", "Replicas that are passed over", labels=["model", "pool"]
        )
        ejections = CounterMetricFamily(
            "gateway_ejections", "Replicas that were ejected as outliers", labels=["model", "pool", "reason"]
        )
        for served in self._directory.models:
            name, admission = served.model.name, served.admission
            for tenant, count in admission.waiting_by_tenant().items():
                waiting.add_metric([name, tenant], count)
            now = [served.router.replicas[i].pool for i in admission.ejection.ejected() if i in served.router.replicas]
            for pool in (pool.name for pool in served.model.pools):
                ejected.add_metric([name, pool], now.count(pool))
            for (pool, reason), number in admission.ejection.counts.items():
                ejections.add_metric([name, pool, reason], number)
        active = GaugeMetricFamily("gateway_active_retries", "Requests under way that were retried")
        active.add_metric([], self._retries.retrying)
        refused = CounterMetricFamily(
            "gateway_retry_budget_exhausted", "Retries that did not take place for lack of budget"
        )
        refused.add_metric([], self._retries.refused)
        yield from (waiting, ejected, ejections, active, refused)
