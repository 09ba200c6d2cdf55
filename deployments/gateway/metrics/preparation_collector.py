"""What Prometheus reads of preparation: the workers, the bytes in flight, and the file descriptors."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from deployments.gateway.file_reserve import FileReserve
from deployments.gateway.preparation.bodies.byte_budget import ByteBudget
from deployments.gateway.preparation.workers.pool import PreparationPool


class PreparationCollector(Collector):
    """Of one gateway process."""

    def __init__(self, pool: PreparationPool, budget: ByteBudget, files: FileReserve) -> None:
        self._pool, self._budget, self._files = pool, budget, files

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "gateway_preparation_waiting", "Bodies that wait for a preparation worker", value=self._pool.waiting
        )
        yield GaugeMetricFamily(
            "gateway_preparation_busy", "Bodies that preparation workers read now", value=self._pool.busy
        )
        failures = CounterMetricFamily(
            "gateway_preparation_failures", "Bodies that could not be prepared, by why", labels=["reason"]
        )
        for reason, count in self._pool.failures.items():
            failures.add_metric([reason.value], count)
        yield failures
        yield GaugeMetricFamily(
            "gateway_bytes_in_flight", "Bytes of requests that are held until their answers end", self._budget.in_flight
        )
        yield GaugeMetricFamily(
            "gateway_bytes_in_flight_limit", "Bytes from which on bodies are refused", self._budget.limit
        )
        yield GaugeMetricFamily("gateway_open_files", "File descriptors in use, at least", self._files.in_use())
