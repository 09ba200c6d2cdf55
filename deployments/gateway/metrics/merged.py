"""The metrics of all gateway processes of a node as one page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from deployments.gateway.metrics.replica_page import replica_page
from deployments.gateway.supervision.control_messages import Family, Metrics, Sample

PROCESS = "process"
"""The label that tells the processes apart. Each counts from zero when it starts, as Prometheus expects of a source."""


def families_of(registry: CollectorRegistry) -> list[Family]:
    """What a process has counted."""
    return [
        Family(
            metric.name,
            metric.documentation,
            metric.type,
            [Sample(sample.name, dict(sample.labels), float(sample.value)) for sample in metric.samples],
        )
        for metric in registry.collect()
    ]


class _Page(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def merged(processes: Mapping[str, Metrics]) -> bytes:
    """Prometheus' text format. `processes`: the name of each, and what it has counted."""
    metrics: dict[str, Metric] = {}
    for name, counted in processes.items():
        for family in counted.families:
            metric = metrics.setdefault(family.name, Metric(family.name, family.documentation, family.kind))
            for sample in family.samples:
                metric.add_sample(sample.name, {**sample.labels, PROCESS: name}, sample.value)
    page = CollectorRegistry(auto_describe=False)
    page.register(_Page(metrics.values()))
    return generate_latest(page) + replica_page({name: counted.replicas for name, counted in processes.items()})
