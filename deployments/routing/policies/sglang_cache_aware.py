"""`cache_aware` of SGLang's gateway (sgl-project/sglang, sgl-model-gateway/src/policies/{cache_aware,mod}.rs, 2026).

1. If most - least > 32 and most > 1.1 * least of the requests in flight: the replica with the fewest.
2. Else, if more than half of the prompt is in the tree of what was routed before: the replica that got it.
3. Else the replica with the fewest.

Equal ones by their order, here that of names. What is chosen enters the tree. The tree is the router's own guess: no
engine is asked, and nothing leaves the tree when an engine evicts it. Constants are those of `CacheAwareConfig`; its
Python launcher sets 0.3, 64 and 1.5.

Unlike theirs:
- The tree is of keys instead of characters, and not of all: their distance grows with the depth, so that a match may
  count up to a sixteenth short.
- Theirs keeps 2**26 characters of each replica (the launcher's figure; 10,000 in `CacheAwareConfig`) and drops the
  least recently used ends of prompts every 30 s; here all replicas share 2**18 nodes, and one too many goes at once.
- A node remembers the replica that it went to first, which is the one that theirs prefers too; another one takes its
  place when that one has left. Where it is only full or ejected, step 3 decides: theirs takes the first healthy one.
- In flight is what all gateways have open; theirs knows its own only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from deployments.routing.policy import Choice, Situation, chosen
from deployments.routing.table import ReplicaTable
from deployments.routing.work import Floats

MATCH_THRESHOLD = 0.5
IMBALANCE_ABSOLUTE = 32
IMBALANCE_RELATIVE = 1.1
MOST_NODES = 2**18
"""Below 50 MB: a new prompt of 12,000 tokens has 88, most of which are not shared."""
EXACTNESS = 16


def _nodes(most_keys: int) -> tuple[int, ...]:
    nodes = [0]
    while nodes[-1] < most_keys:
        nodes.append(nodes[-1] + max(1, nodes[-1] // EXACTNESS))
    return tuple(nodes)


NODES = _nodes(2**24)
"""Places of a prompt's keys that are nodes of the tree."""


class SglangCacheAware:
    """State: the tree, as the replica that each prefix went to, by the prefix's key."""

    uses_keys, uses_prefixes = True, False

    def __init__(self, most_nodes: int = MOST_NODES) -> None:
        self._most_nodes = most_nodes
        self._owners: OrderedDict[int, str] = OrderedDict()
        self._row_names: tuple[str, ...] = ()
        self._rows: dict[str, int] = {}

    def choose(self, situation: Situation) -> Choice:
        if situation.row_names is not self._row_names:
            self._row_names = situation.row_names
            self._rows = {name: row for row, name in enumerate(situation.row_names)}
        load, names = situation.open_requests, situation.names
        keys = situation.request.keys
        nodes = NODES[: bisect_left(NODES, len(keys))]
        owner, share = self._match(keys, nodes)
        if not _imbalanced(load) and share > MATCH_THRESHOLD and owner in names:
            place = names.index(owner)
        else:
            place = min(np.flatnonzero(load == load.min()).tolist(), key=names.__getitem__)
        self._insert(keys, nodes, names[place], situation.table)
        matched = np.array([share if name == owner else 0.0 for name in names])
        return chosen(situation, place, {"open_requests": load, "match": matched})

    def __len__(self) -> int:
        """Nodes of the tree."""
        return len(self._owners)

    def _match(self, keys: Sequence[int], nodes: Sequence[int]) -> tuple[str, float]:
        """Whose the deepest node of the prompt is, and what share of the prompt it covers."""
        owner, matched = "", 0
        for node in nodes:
            found = self._owners.get(keys[node])
            if found is None:
                break
            owner, matched = found, node + 1
        return owner, matched / len(keys) if keys else 0.0

    def _insert(self, keys: Sequence[int], nodes: Sequence[int], name: str, table: ReplicaTable) -> None:
        """The prompt's end first, so that of the nodes that are used together the deepest is the next to go."""
        owners = self._owners
        for node in reversed(nodes):
            key = keys[node]
            owner = owners.get(key)
            if owner is None or not self._stays(owner, table):
                owners[key] = name
            owners.move_to_end(key)
        while len(owners) > self._most_nodes:
            owners.popitem(last=False)

    def _stays(self, name: str, table: ReplicaTable) -> bool:
        row = self._rows.get(name)
        return row is not None and bool(table.present[row]) and not table.leaving[row]


def _imbalanced(load: Floats) -> bool:
    most, least = float(load.max()), float(load.min())
    return most - least > IMBALANCE_ABSOLUTE and most > IMBALANCE_RELATIVE * least
