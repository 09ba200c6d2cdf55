"""Who runs the fleet: the keys for routes that tell of all tenants."""

from __future__ import annotations

from collections.abc import Mapping

from cluster import fleet as schema
from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.identity.keyring import Keyring


class Operators:
    """The operators of a fleet. A fleet with neither tenants nor operators is open to everyone who reaches it."""

    def __init__(self, fleet: schema.Fleet) -> None:
        """Reads the key files, once. Raises cluster.keys.KeyFileError."""
        self._keys: Keyring[str] = Keyring(fleet.name, "operator")
        for operator in fleet.operators:
            self._keys.add(operator.name, operator)
        self._open = not fleet.tenants and not fleet.operators
        self._named = bool(fleet.operators)

    def is_operator(self, headers: Mapping[str, str]) -> bool:
        """Whether these headers open the operators' routes."""
        try:
            self.require(headers)
        except ApiError:
            return False
        return True

    def require(self, headers: Mapping[str, str]) -> None:
        """Raises ApiError 401 without an operator's key, 403 where the fleet has no operator."""
        if self._open:
            return
        if not self._named:
            message = "this route is for operators, and the fleet file names none; add one under `operators`"
            raise ApiError(403, message, code="operators_only")
        self._keys.find(headers)
