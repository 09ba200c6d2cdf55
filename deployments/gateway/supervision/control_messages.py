"""What a node's supervisor, its gateway processes and its Serve actor tell each other."""

from __future__ import annotations

from typing import Any

import msgspec

from deployments.autoscaling.control import Door
from deployments.gateway.replicas.replica_values import ReplicaValues
from deployments.registry.messages import RegistryAddress


class Configure(msgspec.Struct, tag=True):
    """To a process: the fleet that it serves, and the address of this node for other gateways.

    `has_peers`: whether other processes serve it, too. `own_engines`: whether the replicas are the fleet's own, which
    its key is shown to. `alone_s`: for so long it accepts connections where its supervisor has died.
    """

    fleet: dict[str, Any]
    host: str
    has_peers: bool
    own_engines: bool = True
    alone_s: float = 0.0


class Replicas(msgspec.Struct, tag=True):
    """Every replica that is there now, and the load that each reported, by incarnation."""

    replicas: list[dict[str, Any]]
    loads: dict[str, dict[str, Any]]
    peers: list[str] = []
    """Where gateways publish their bookings."""


class Started(msgspec.Struct, tag=True):
    """From a process: it accepts connections."""


class Failed(msgspec.Struct, tag=True):
    """From a process: it cannot serve this fleet, and why."""

    message: str


class Status(msgspec.Struct, tag=True):
    """From a process, twice a second, by its event loop: what it waits for, and what it books."""

    unready: list[str]
    doors: list[Door]
    endpoint: str = ""
    """Where it publishes its bookings."""


class Learned(msgspec.Struct, tag=True):
    """From a process, now and then, and to one that starts: what was learned of replicas' speeds."""

    speeds: bytes


class Sample(msgspec.Struct, array_like=True):
    """One value of a metric."""

    name: str
    labels: dict[str, str]
    value: float


class Family(msgspec.Struct, array_like=True):
    """A metric with its samples."""

    name: str
    documentation: str
    kind: str
    samples: list[Sample]


class AskMetrics(msgspec.Struct, tag=True):
    """From a process: it was asked for the metrics of all. To a process: its own are wanted."""

    number: int


class Metrics(msgspec.Struct, tag=True):
    """From a process: its metrics."""

    number: int
    families: list[Family]
    replicas: list[ReplicaValues]


class MergedMetrics(msgspec.Struct, tag=True):
    """To a process: the metrics of all, in Prometheus' text format."""

    number: int
    text: bytes


class HandOver(msgspec.Struct, tag=True):
    """To a process: another takes the new connections; finish what is in flight, and end."""


class Drain(msgspec.Struct, tag=True):
    """To a process: take no further request, finish what is in flight, and end."""


class Attach(msgspec.Struct, tag=True):
    """From a Serve actor: the fleet that is to be served from now on."""

    fleet: dict[str, Any]
    host: str


class FollowRegistry(msgspec.Struct, tag=True):
    """From a Serve actor: where the registry listens now."""

    address: RegistryAddress


class AskReplicas(msgspec.Struct, tag=True):
    """From a Serve actor: it wants a `Replicas`."""


class End(msgspec.Struct, tag=True):
    """From a Serve actor: the fleet ends."""


class NodeStatus(msgspec.Struct, tag=True):
    """To a Serve actor: whether the processes serve the fleet that it attached with."""

    port: int
    serving: bool
    failure: str = ""


Message = (
    Configure
    | Replicas
    | Started
    | Failed
    | Status
    | Learned
    | AskMetrics
    | Metrics
    | MergedMetrics
    | HandOver
    | Drain
    | Attach
    | FollowRegistry
    | AskReplicas
    | End
    | NodeStatus
)
