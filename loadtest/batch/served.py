"""Who answers a batch: the models of an endpoint, and how many requests its replicas take at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from loadtest.endpoint import TargetError, get_json
from loadtest.seat import Seat
from loadtest.target import WINDOWS_PER_SLOT, ForeignLoad


@dataclass(frozen=True)
class Served:
    """An endpoint.

    Attributes:
        names: of its models, aliases included.
        fleet: its answer to GET /fleet; None from a foreign endpoint.
    """

    url: str
    names: frozenset[str]
    fleet: dict[str, Any] | None = None

    def seats(self, models: Iterable[str], foreign: ForeignLoad) -> tuple[Seat, ...]:
        """A puller for each replica of `models`, else as many as `foreign` says: a foreign endpoint tells of none, and
        a pool that shrank to nothing has none until it is asked."""
        wanted = set(models)
        replicas = [
            replica
            for model in (self.fleet or {}).get("models", ())
            if wanted & {model["name"], *model["aliases"]}
            for replica in model["replicas"]
        ]
        if replicas:
            return tuple(Seat(replica["replica"], WINDOWS_PER_SLOT * replica["slots"]) for replica in replicas)
        return tuple(Seat(f"puller-{number}", foreign.window) for number in range(foreign.pullers))


def look_up(url: str, headers: Mapping[str, str]) -> Served:
    """What `url` serves. Raises TargetError."""
    listing = get_json(f"{url}/v1/models", headers)
    if listing is None:
        raise TargetError(f"nothing answers at {url}/v1/models; give the address of an OpenAI-compatible server")
    names = frozenset(str(card["id"]) for card in listing.get("data", ()))
    return Served(url, names, get_json(f"{url}/fleet", headers))
