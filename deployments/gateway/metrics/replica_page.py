"""The gauges of replicas in Prometheus' text format.

Written here and not by prometheus_client: ten thousand lines for a thousand replicas, which that makes in 50 ms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite

from deployments.gateway.replicas.replica_values import REPLICA_GAUGES, ReplicaValues
from deployments.kv_cache.replay_protocol import FeedState

FEED_STATE = "gateway_replica_feed_state"
NOT_FINITE = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}
FEED_STATE_TEXT = "1 for the state of a replica's KV events"


def replica_page(processes: Mapping[str, Sequence[ReplicaValues]]) -> bytes:
    """`processes`: the value of the label `process`, '' for none, and what that process knows of each model."""
    labelled = [(values, _labels(process, values)) for process, of_models in processes.items() for values in of_models]
    lines = list(_report_state_lines(labelled))
    for gauge, text in REPLICA_GAUGES.items():
        name = f"gateway_replica_{gauge}"
        lines += _head(name, text)
        for values, labels in labelled:
            lines += [
                f"{name}{{{label}}} {value!r}" if isfinite(value) else f"{name}{{{label}}} {NOT_FINITE[repr(value)]}"
                for label, value in zip(labels, map(float, values.gauges[gauge]), strict=True)
            ]
    return "\n".join([*lines, ""]).encode()


def _report_state_lines(labelled: Sequence[tuple[ReplicaValues, Sequence[str]]]) -> Iterator[str]:
    yield from _head(FEED_STATE, FEED_STATE_TEXT)
    for values, labels in labelled:
        for label, current in zip(labels, values.report_states, strict=True):
            for state in FeedState if current else ():
                yield f'{FEED_STATE}{{{label},state="{state.value}"}} {float(state == current)!r}'


def _head(name: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} gauge"]


def _labels(process: str, values: ReplicaValues) -> list[str]:
    """Of each replica, in the order of the alphabet."""
    of_process = f'process="{_escaped(process)}",' if process else ""
    model = _escaped(values.model)
    return [
        f'model="{model}",pool="{_escaped(pool)}",{of_process}replica="{_escaped(replica)}"'
        for pool, replica in zip(values.pools, values.replicas, strict=True)
    ]


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
