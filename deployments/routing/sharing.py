"""What other gateways have open on the same replicas: each tells all of its own, again and again.

Whole sums and no changes: a message that is lost is made good by the next, and a gateway that is gone is forgotten
with all it had.
"""

from __future__ import annotations

from collections.abc import Mapping

from deployments.routing.booking import Replica
from deployments.routing.table import Outstanding, ReplicaTable
from deployments.routing.work import FEATURES


class Others:
    """Keeps the table's `others_*` columns: the sums over all other gateways."""

    def __init__(self, table: ReplicaTable) -> None:
        self._table = table
        self._told: dict[str, dict[int, Outstanding]] = {}

    def outstanding(self, replicas: Mapping[str, Replica]) -> dict[str, Outstanding]:
        """What this gateway has open, by incarnation; replicas with nothing are left out."""
        table = self._table
        return {
            incarnation: Outstanding(
                int(table.open_requests[replica.row]),
                int(table.open_tokens[replica.row]),
                int(table.waiting_requests[replica.row]),
                tuple(table.waiting_work[replica.row].tolist()),
            )
            for incarnation, replica in replicas.items()
            if table.open_requests[replica.row]
        }

    def set(self, gateway: str, outstanding: Mapping[str, Outstanding], replicas: Mapping[str, Replica]) -> None:
        """Takes the place of what that gateway told before. Replicas that are not known here are left out."""
        before = self._told.pop(gateway, {})
        told = {
            replicas[i].row: o for i, o in outstanding.items() if i in replicas and len(o.waiting_work) == len(FEATURES)
        }
        if told:
            self._told[gateway] = told
        for row in before.keys() | told.keys():
            self._sum(row)

    def forget(self, row: int) -> None:
        """The row gets another replica."""
        for told in self._told.values():
            told.pop(row, None)
        self._sum(row)

    def _sum(self, row: int) -> None:
        self._table.set_others(row, [told[row] for told in self._told.values() if row in told])
