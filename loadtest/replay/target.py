"""Who is asked: the models behind an endpoint, and which of them a request of a trace is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from loadtest.endpoint import CACHES_OFF, CACHES_ON, UNVERIFIED, TargetError, get_json
from loadtest.traces.trace import TraceRequest

TEXT, PICTURES, SPEECH = "text", "pictures", "speech"
TASKS = {TEXT: ("chat", "vision-chat"), PICTURES: ("vision-chat",), SPEECH: ("transcription",)}
"""What a request holds -> the tasks of models that take it, the likelier first."""


@dataclass(frozen=True)
class Model:
    """A model as its endpoint tells of it.

    Attributes:
        task: None from a foreign endpoint, which does not tell.
        max_model_len: in tokens; None where it does not tell.
        replicas: name -> pool; none from a foreign endpoint.
    """

    name: str
    names: tuple[str, ...]
    task: str | None = None
    max_model_len: int | None = None
    replicas: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """An endpoint. `fleet` is its answer to GET /fleet; None from a foreign one."""

    url: str
    models: tuple[Model, ...]
    caches: str = UNVERIFIED
    fleet: dict[str, Any] | None = None

    def model_for(self, request: TraceRequest, default: str | None) -> Model:
        """The model that the request names, else `default`, else the only one that takes such a request.

        Raises TargetError where there is no such model, or several.
        """
        kind = SPEECH if request.audio_s else PICTURES if request.images else TEXT
        wanted = request.model or default
        if wanted is not None:
            return self._named(wanted, kind)
        for task in TASKS[kind]:
            fitting = [model for model in self.models if model.task in (task, None)]
            if len(fitting) == 1:
                return fitting[0]
            if fitting:
                names = ", ".join(model.name for model in fitting)
                raise TargetError(
                    f"{self.url} serves several models that take {kind}: {names}; name one with --model, or with "
                    "--trace model=NAME:TRACE"
                )
        raise TargetError(f"{self.url} serves no model that takes {kind}; it serves {self._names()}")

    def _named(self, wanted: str, kind: str) -> Model:
        model = next((model for model in self.models if wanted in model.names), None)
        if model is None:
            raise TargetError(f"{self.url} serves no model '{wanted}'; it serves {self._names()}")
        if model.task is not None and model.task not in TASKS[kind]:
            raise TargetError(
                f"the model '{wanted}' is for {model.task} and takes no {kind}; name the model of each trace with "
                "--trace model=NAME:TRACE"
            )
        return model

    def _names(self) -> str:
        return ", ".join(model.name for model in self.models) or "none at all"


def inspect(url: str, headers: Mapping[str, str]) -> Target:
    """The target at `url`. Raises TargetError."""
    fleet = get_json(f"{url}/fleet", headers)
    return _own(url, fleet) if fleet is not None else _foreign(url, headers)


def _own(url: str, fleet: dict[str, Any]) -> Target:
    replicas = [replica for model in fleet["models"] for replica in model["replicas"]]
    if not replicas:
        raise TargetError(f"{url}: no replica runs; wait until GET /ready answers 200")
    return Target(
        url=url,
        models=tuple(
            Model(
                name=model["name"],
                names=(model["name"], *model["aliases"]),
                task=model["task"],
                max_model_len=min((r["max_model_len"] for r in model["replicas"] if r["max_model_len"]), default=None),
                replicas={replica["replica"]: replica["pool"] for replica in model["replicas"]},
            )
            for model in fleet["models"]
        ),
        caches=CACHES_ON if any(replica["caches"] for replica in replicas) else CACHES_OFF,
        fleet=fleet,
    )


def _foreign(url: str, headers: Mapping[str, str]) -> Target:
    """An endpoint may list one model under several names, each with the same `root`."""
    listing = get_json(f"{url}/v1/models", headers)
    if listing is None:
        raise TargetError(f"nothing answers at {url}/v1/models; give the address of an OpenAI-compatible server")
    names: dict[str, list[dict[str, Any]]] = {}
    for card in listing.get("data", []):
        names.setdefault(card.get("root") or card["id"], []).append(card)
    return Target(
        url=url,
        models=tuple(
            Model(cards[0]["id"], tuple(card["id"] for card in cards), max_model_len=cards[0].get("max_model_len"))
            for cards in names.values()
        ),
    )
