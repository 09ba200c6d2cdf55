"""Serve's autoscaling policies: the sizes that the registry has decided on, passed on to Serve's controller.

Serve asks a policy for each deployment, and shows it that deployment's own metrics alone. So the registry reports the
sizes of all pools as its metrics, its own policy notes them, and those of the pools look them up: all of them run in
the controller's process, one after the other. The note lies outside of this module, since Serve sends policies by
value, and each gets a copy of the module of its own.
"""

from __future__ import annotations

import sys
import time
from types import ModuleType
from typing import Any

from ray.serve.config import AutoscalingContext

NOTE = "mixfleet_wanted_replicas"
BELIEVED_S = 30.0
"""A registry that was not heard of for so long decides nothing: the fleet stays as it is."""

State = dict[str, Any]


def noted() -> dict[str, tuple[float, dict[str, int]]]:
    """Application -> when the registry was heard, and deployment -> replicas."""
    module: Any = sys.modules.setdefault(NOTE, ModuleType(NOTE))
    if not hasattr(module, "wanted"):
        module.wanted = {}
    wanted: dict[str, tuple[float, dict[str, int]]] = module.wanted
    return wanted


def note(context: AutoscalingContext) -> tuple[int, State]:
    """The registry's: takes down what it reports."""
    latest: dict[str, tuple[float, int]] = {}
    for name, of_replicas in (context.raw_metrics or {}).items():
        for series in of_replicas.values():
            for point in series[-1:]:
                if point.timestamp >= latest.get(name, (0.0, 0))[0]:
                    latest[name] = point.timestamp, int(point.value)
    if latest:
        heard = max(at for at, _ in latest.values())
        noted()[context.app_name or ""] = heard, {name: count for name, (_, count) in latest.items()}
    return context.target_num_replicas, {}


def follow(context: AutoscalingContext) -> tuple[int, State]:
    """A pool's: its size as the registry wants it; as it is where nothing was heard."""
    heard, wanted = noted().get(context.app_name or "", (0.0, {}))
    if time.time() - heard > BELIEVED_S:
        return context.target_num_replicas, {}
    return wanted.get(context.deployment_name, context.target_num_replicas), {}
