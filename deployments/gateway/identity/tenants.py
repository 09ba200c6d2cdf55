"""Who asks: the bearer keys of the fleet's tenants, and what each tenant may do."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass

from cluster import fleet as schema
from deployments.gateway.admission.limits import Clock, Quota
from deployments.gateway.identity.keyring import Keyring


@dataclass(frozen=True, eq=False)
class Tenant:
    """A tenant as this gateway process knows it.

    Attributes:
        priority: higher is more urgent; see `weight`.
        salt: keeps what is cached for this tenant apart from the others'; the same in every process of the fleet, and
            told to no client. Made from names alone, never from a key. Empty where the fleet has no tenants.
        models: names of the models it may use; None is all.
    """

    name: str
    quota: Quota
    priority: int = 0
    salt: str = ""
    models: frozenset[str] | None = None

    @property
    def weight(self) -> float:
        """Its share of the engines against other tenants that wait: each step of priority doubles it."""
        return 2.0**self.priority

    def may_use(self, model: schema.Model) -> bool:
        return self.models is None or model.name in self.models


ANYONE = Tenant("anyone", Quota(None))
"""The tenant of a fleet that has none."""


class Tenants:
    """The tenants of a fleet and the digests of their keys; a fleet without tenants has one, who needs no key."""

    def __init__(self, fleet: schema.Fleet, clock: Clock = time.monotonic) -> None:
        """Reads the key files, once. Raises cluster.keys.KeyFileError."""
        self.anyone = None if fleet.tenants else ANYONE
        self._keys: Keyring[Tenant] = Keyring(fleet.name, "tenant")
        self.limited: dict[str, Quota] = {}
        """Name -> limits, of each tenant that has any."""
        for listed in fleet.tenants:
            tenant = _tenant(fleet, listed, clock)
            self._keys.add(tenant, listed)
            if tenant.quota.limited:
                self.limited[tenant.name] = tenant.quota

    def authenticate(self, headers: Mapping[str, str]) -> Tenant:
        """The tenant whose key is in `Authorization: Bearer KEY`. Raises ApiError 401 where there is none."""
        return self.anyone or self._keys.find(headers)


def _tenant(fleet: schema.Fleet, listed: schema.Tenant, clock: Clock) -> Tenant:
    allowed = None
    if listed.models is not None:
        allowed = frozenset(model.name for model in fleet.models if set(model.names) & set(listed.models))
    return Tenant(
        name=listed.name,
        # MLPerf's clients count a refusal as a failure: such a fleet refuses no load.
        quota=Quota(None if fleet.mlperf else listed.limits, clock),
        priority=listed.priority,
        salt=hashlib.sha256(f"{fleet.name}\n{listed.name}".encode()).hexdigest()[:32],
        models=allowed,
    )
