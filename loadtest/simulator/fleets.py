"""The fleets that are simulated: those of fleet files, by their pools, and a few to compare routing rules on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from cluster.fleet import Fleet, Model, Pool
from cluster.loading import FleetError, load_fleet
from loadtest.simulator.speeds import H200, SPEEDS, Speed, UnknownSpeed, speed_of

BUDGET = 1024
"""Tokens of a step of the comparison fleets. Red Hat's Server run of MLPerf v6.0 had 2,048 on H200; with the Mooncake
trace's long contexts such steps take 60 to 100 ms, and no answer in a busy engine keeps 80 ms a token."""
SLOTS = 448
UNSAID_BUDGET = 8192
"""vLLM's own, for a server on a large GPU."""


@dataclass(frozen=True)
class Member:
    """One replica: its speed, the sequences that it runs at once, and the tokens of a step."""

    name: str
    pool: str
    speed: Speed
    slots: int = SLOTS
    budget: int = BUDGET

    def prefill_s(self, tokens: int, image_tokens: int = 0, audio_s: float = 0.0) -> float:
        """Of a whole prompt, alone and with nothing cached."""
        return self.speed.prefill_s(tokens, self.budget, image_tokens, audio_s)


@dataclass(frozen=True)
class SimulatedFleet:
    """Replicas of one model behind one router. `overcommit`: requests sent to a replica at once, per slot of it."""

    name: str
    members: tuple[Member, ...]
    overcommit: float = 2.0
    prefixes: bool = True

    def with_kv_tokens(self, kv_tokens: int) -> SimulatedFleet:
        """The same with caches of that size in every replica."""
        members = tuple(replace(m, speed=replace(m.speed, kv_tokens=kv_tokens)) for m in self.members)
        return replace(self, members=members)

    def mean_prefill_s(self, tokens: int) -> float:
        """Of a prompt with nothing cached, at the mean of the replicas' rates."""
        return len(self.members) / sum(1 / member.prefill_s(tokens) for member in self.members)


def pool_of(name: str, count: int, speed: Speed) -> tuple[Member, ...]:
    return tuple(Member(f"{name}-{number}", name, speed) for number in range(count))


def _equal8() -> tuple[Member, ...]:
    return pool_of("h200", 8, H200)


def _mixed9() -> tuple[Member, ...]:
    return tuple(member for name in ("mi300x", "mi325x", "mi355x") for member in pool_of(name, 3, SPEEDS[name]))


def _h200x4_mi350x8() -> tuple[Member, ...]:
    return pool_of("h200", 4, H200) + pool_of("mi350x", 8, SPEEDS["mi350x"])


def _fast4_slow8() -> tuple[Member, ...]:
    slow = H200.times(24 / 9, "assumed: 9 of an H200's 24")
    return pool_of("fast", 4, H200) + pool_of("slow", 8, slow)


COMPARED: Mapping[str, Callable[[], tuple[Member, ...]]] = {
    "equal8": _equal8,
    "mixed9": _mixed9,
    "h200x4-mi350x8": _h200x4_mi350x8,
    "fast4-slow8": _fast4_slow8,
}


def simulated_fleet(named: str, model: str | None = None) -> SimulatedFleet:
    """A comparison fleet, a preset or a fleet file, of which `model` says which model where it has several.

    Raises FleetError.
    """
    if named in COMPARED:
        return SimulatedFleet(named, COMPARED[named]())
    try:
        fleet = load_fleet(named)
    except FleetError as error:
        raise FleetError(f"{error}; or one of the comparison fleets {', '.join(COMPARED)}") from None
    chosen = _model(fleet, model)
    members = tuple(member for pool in chosen.pools for member in _members(fleet, pool))
    return SimulatedFleet(fleet.name, members, fleet.gateway.overcommit, prefixes=not fleet.mlperf)


def _model(fleet: Fleet, named: str | None) -> Model:
    if named is None and len(fleet.models) > 1:
        raise FleetError(
            f"fleet '{fleet.name}' serves {', '.join(m.name for m in fleet.models)}: say which with --model"
        )
    for model in fleet.models:
        if named is None or named in model.names:
            return model
    raise FleetError(f"fleet '{fleet.name}' has no model '{named}': it has {', '.join(m.name for m in fleet.models)}")


def _members(fleet: Fleet, pool: Pool) -> list[Member]:
    try:
        speed = speed_of(pool.accelerator, pool.engine, pool.tensor_parallel)
    except UnknownSpeed as error:
        raise FleetError(f"fleet '{fleet.name}', pool '{pool.name}': {error}") from None
    budget = pool.flags.get("max-num-batched-tokens", UNSAID_BUDGET)
    if not isinstance(budget, int) or budget < pool.slots:
        raise FleetError(
            f"fleet '{fleet.name}', pool '{pool.name}': max-num-batched-tokens is {budget!r}; the engine needs a whole "
            f"number of at least its {pool.slots} slots"
        )
    return [Member(f"{pool.name}-{n}", pool.name, speed, pool.slots, budget) for n in range(pool.min_replicas)]
