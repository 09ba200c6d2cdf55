"""The scalers of all models of a fleet, fed with what the registry hears."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TypedDict

from cluster.fleet import Fleet, deployment_name
from deployments.autoscaling.scaler import PoolLoad, Scaler, sizes_of
from deployments.engine.backend import EngineLoad
from deployments.replica_info import ReplicaInfo


class Door(TypedDict):
    """What one gateway process tells of one model: requests that wait there for a replica, and the seconds of prompts
    that it has ever sent to each pool. `source`: the process, by a name that no other ever has."""

    source: str
    model: str
    waiting: int
    booked_s: dict[str, float]


class Scaling:
    """`growing`: names of the deployments whose size is decided here; those of the others never changes."""

    def __init__(self, fleet: Fleet, now: float) -> None:
        models = [model for model in fleet.models if any(pool.grows for pool in model.pools)]
        self._scalers = {model.name: Scaler(sizes_of(model), model.autoscaling, now) for model in models}
        self._pools = {model.name: [pool.name for pool in model.pools] for model in models}
        self._names = {(m.name, pool.name): deployment_name(m, pool) for m in models for pool in m.pools if pool.grows}

    @property
    def growing(self) -> list[str]:
        return list(self._names.values())

    def wanted(
        self,
        now: float,
        replicas: Iterable[tuple[ReplicaInfo, EngineLoad]],
        doors: Iterable[Door],
    ) -> dict[str, int]:
        """Deployment -> replicas. `replicas`: info and load of each; `doors`: what gateways tell of models."""
        loads: dict[tuple[str, str], PoolLoad] = defaultdict(PoolLoad)
        waiting: Counter[str] = Counter()
        for info, load in replicas:
            loads[info.model, info.pool] += PoolLoad(1, load.running, load.waiting, load.kv_use)
        for door in _newest(doors):
            waiting[door["model"]] += door["waiting"]
            for pool in self._pools.get(door["model"], ()):
                loads[door["model"], pool] += PoolLoad(booked_s={door["source"]: door["booked_s"].get(pool, 0.0)})
        wanted: dict[str, int] = {}
        for model, scaler in self._scalers.items():
            of_model = {pool: load for (name, pool), load in loads.items() if name == model}
            for pool, count in scaler.wanted(now, of_model, waiting[model]).items():
                if name := self._names.get((model, pool)):
                    wanted[name] = count
        return wanted


def _newest(doors: Iterable[Door]) -> Iterable[Door]:
    """One of each process and model. Two actors of a node may tell of the same process, one of them later."""
    newest: dict[tuple[str, str], Door] = {}
    for door in doors:
        key = door["source"], door["model"]
        newest[key] = max(newest.get(key, door), door, key=lambda each: sum(each["booked_s"].values()))
    return newest.values()
