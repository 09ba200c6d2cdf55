"""What is measured: the model behind an endpoint, and whether it may take part in an MLPerf run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from loadtest.benchmarks.base import Benchmark, Served
from loadtest.endpoint import CACHES_OFF, CACHES_ON, UNVERIFIED, TargetError, get_json
from loadtest.seat import Seat

WINDOWS_PER_SLOT = 2
"""Requests in flight for each sequence that a replica runs at once: as many run as wait, so no replica falls idle."""


@dataclass(frozen=True)
class ForeignLoad:
    """How hard an endpoint is driven that does not tell its replicas."""

    pullers: int = 2
    window: int = 32


@dataclass(frozen=True)
class Target:
    """A model behind an endpoint.

    Attributes:
        caches: `off` where every replica reports so, `on` where one does not, `unverified` where none can be asked.
        offenders: replicas with a cache on that spans queries.
        fleet: the endpoint's answer to GET /fleet; None from a foreign endpoint.
        differing: replicas of another checkpoint than the first one's.
    """

    url: str
    served: Served
    seats: tuple[Seat, ...]
    caches: str
    offenders: tuple[str, ...] = ()
    checkpoint: str | None = None
    revision: str | None = None
    fleet: dict[str, Any] | None = None
    differing: tuple[str, ...] = ()

    def refuse_offenders(self) -> None:
        """Raises TargetError where a cache is on, since MLPerf forbids any reuse between queries, or where replicas run
        different checkpoints, since a result is that of one model."""
        told = []
        if self.offenders:
            told.append("these replicas reuse work between queries, which MLPerf forbids:\n" + _listed(self.offenders))
            told.append(
                "Start the fleet with `mlperf: true`, or give --fleet (it is then started so), or --quick for a trial"
            )
        if self.differing:
            told.append(f"these replicas run another checkpoint than {self.checkpoint}:\n" + _listed(self.differing))
            told.append("Deploy one checkpoint and revision to every pool of the model")
        if told:
            raise TargetError("\n".join(told))


def _listed(offenders: Sequence[str]) -> str:
    return "\n".join(f"  {offender}" for offender in offenders)


def inspect(
    url: str, benchmark: Benchmark, model: str | None, foreign: ForeignLoad, headers: Mapping[str, str] | None = None
) -> Target:
    """The target at `url`. `model` picks one where several could do. Raises TargetError."""
    fleet = get_json(f"{url}/fleet", headers)
    if fleet is not None:
        return _own(url, fleet, benchmark, model)
    return _foreign(url, benchmark, model, foreign, headers)


def _own(url: str, fleet: dict[str, Any], benchmark: Benchmark, wanted: str | None) -> Target:
    models = fleet["models"]
    fitting = [model for model in models if model["task"] == benchmark.task]
    if wanted is not None:
        fitting = [model for model in models if wanted in (model["name"], *model["aliases"])]
    model = _one(fitting, [model["name"] for model in models], benchmark, wanted, url)
    replicas = model["replicas"]
    if not replicas:
        raise TargetError(f"{url}: model '{model['name']}' has no running replica; wait until GET /ready answers 200")
    lengths = [replica["max_model_len"] for replica in replicas if replica["max_model_len"]]
    offenders = tuple(_place(replica) for replica in replicas if replica["caches"])
    differing = tuple(
        f"{_place(replica)}: {replica['checkpoint']} at {replica['revision']}"
        for replica in replicas
        if _weights(replica) != _weights(replicas[0])
    )
    return Target(
        url=url,
        served=Served(model["name"], min(lengths, default=None)),
        seats=tuple(Seat(replica["replica"], WINDOWS_PER_SLOT * replica["slots"]) for replica in replicas),
        caches=CACHES_ON if offenders else CACHES_OFF,
        offenders=offenders,
        differing=differing,
        checkpoint=model["checkpoint"],
        revision=model["revision"],
        fleet=fleet,
    )


def _place(replica: dict[str, Any]) -> str:
    """Only operators are told addresses."""
    place = ", ".join((f"pool {replica['pool']}", *([replica["url"]] if "url" in replica else [])))
    return f"{replica['replica']} ({place})"


def _weights(replica: dict[str, Any]) -> tuple[str, str | None]:
    """A checkpoint may lie in another folder on each node; its own folder's name tells its version."""
    return PurePath(replica["checkpoint"]).name, replica["revision"]


def _foreign(
    url: str, benchmark: Benchmark, wanted: str | None, load: ForeignLoad, headers: Mapping[str, str] | None
) -> Target:
    listing = get_json(f"{url}/v1/models", headers)
    if listing is None:
        raise TargetError(f"nothing answers at {url}/v1/models; give the address of an OpenAI-compatible server")
    models = listing.get("data", [])
    fitting = _without_aliases(models) if wanted is None else [model for model in models if model["id"] == wanted]
    model = _one(fitting, [model["id"] for model in models], benchmark, wanted, url)
    return Target(
        url=url,
        served=Served(model["id"], model.get("max_model_len")),
        seats=tuple(Seat(f"puller-{number}", load.window) for number in range(load.pullers)),
        caches=UNVERIFIED,
        checkpoint=model.get("root"),
    )


def _without_aliases(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """vLLM lists every name of its one model, each with the checkpoint as `root`: the first of those will do."""
    roots = {model.get("root") for model in models}
    return models[:1] if len(roots) == 1 and None not in roots else models


def _one(
    fitting: list[dict[str, Any]], known: list[str], benchmark: Benchmark, wanted: str | None, url: str
) -> dict[str, Any]:
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(known) or "none at all"
    if wanted is not None:
        raise TargetError(f"{url} serves no model '{wanted}'; it serves {names}")
    if not fitting:
        raise TargetError(
            f"{url} serves no model for {benchmark.task}, which {benchmark.name} needs; it serves {names}"
        )
    raise TargetError(f"{url} serves several models that {benchmark.name} could test; name one with --model: {names}")
