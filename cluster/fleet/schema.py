"""The fleet file: models x pools, the gateway and MLPerf mode. The one configuration schema of the project."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from cluster.fleet.access import EngineTls, KeyHolder, Operator, Tenant
from cluster.fleet.base import AbsolutePath, Name, Strict, distinct
from cluster.fleet.gateway import Gateway
from cluster.fleet.models import Model, deployment_name


class Fleet(Strict):
    """A whole deployment: what is served, where, and how it is reached."""

    name: Name
    mlperf: bool = Field(False, description="no reuse across queries: every cache off, and nothing is shed")
    checkpoint_cache: str | None = Field(None, description="folder of prepared checkpoints; shared between nodes")
    gateway: Gateway = Gateway()
    models: list[Model] = Field(min_length=1)
    tenants: list[Tenant] = Field([], description="who may ask; with none, anyone may and no key is asked for")
    operators: list[Operator] = Field([], description="who may read metrics, router states and addresses")
    secrets_file: AbsolutePath | None = Field(
        None,
        description="a secret per line, the first in use; the same on every node. None: made on this machine",
    )

    engine_tls: EngineTls | None = Field(None, description="encrypts what gateways and replicas say to engines")

    @property
    def cache_folder(self) -> Path | None:
        """Folder of prepared checkpoints; None means the user's own cache."""
        return Path(self.checkpoint_cache).expanduser() if self.checkpoint_cache else None

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        distinct([name for model in self.models for name in model.names], "model name or alias")
        distinct([deployment_name(m, p) for m in self.models for p in m.pools], "deployment name")
        return self

    @model_validator(mode="after")
    def _measured_fleets_stay_as_they_are(self) -> Self:
        growing = [f"{m.name}/{pool.name}" for m in self.models for pool in m.pools if self.mlperf and pool.grows]
        if growing:
            raise ValueError(f"an `mlperf` fleet keeps its size: remove max_replicas of {', '.join(growing)}")
        return self

    @model_validator(mode="after")
    def _tenants_fit(self) -> Self:
        served = {name for model in self.models for name in model.names}
        names: set[str] = set()
        keys: dict[str, str] = {}
        mistakes: list[InitErrorDetails] = []
        holders: list[tuple[str, int, KeyHolder]] = [("tenants", *each) for each in enumerate(self.tenants)]
        holders += [("operators", *each) for each in enumerate(self.operators)]
        for field, number, holder in holders:
            at = (field, number)
            kind = field[:-1]
            if holder.name in names:
                mistakes.append(_mistake((*at, "name"), f"{kind} '{holder.name}' is there twice; rename one"))
            names.add(holder.name)
            for place, key in enumerate(holder.key_sha256):
                if key in keys:
                    told = f"{keys[key]} has this key already; a key belongs to one owner, and is listed once"
                    mistakes.append(_mistake((*at, "key_sha256", place), told))
                keys.setdefault(key, f"{kind} '{holder.name}'")
        for number, tenant in enumerate(self.tenants):
            for place, model in enumerate(tenant.models or []):
                if model not in served:
                    told = f"no model of this fleet is named '{model}'; use one of {', '.join(sorted(served))}"
                    mistakes.append(_mistake(("tenants", number, "models", place), told))
        if mistakes:
            raise ValidationError.from_exception_data("Fleet", mistakes)
        return self


def _mistake(at: tuple[str | int, ...], told: str) -> InitErrorDetails:
    """An error at a place of its own within the model that is being validated."""
    return InitErrorDetails(type=PydanticCustomError("value_error", "{told}", {"told": told}), loc=at, input=None)
