"""Which replicas hold which keys: for each key the replicas, as the bits of one number.

Sets of replicas that many keys have in common are kept once, and the keys lie in many dictionaries, since one that
grows stands still for as long as it is large.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import islice
from sys import getsizeof

SHARDS = 64
MOST_COMMON = 65_536
"""Sets of replicas kept once each; beyond that their collection starts anew."""
SLACK_KEYS = 1_024
"""A replica's list of what it took in may be so much longer than twice what it holds."""
KEY_BYTES = 32


class Claims:
    """Replicas are small numbers: bits. Each is `add`ed once before it holds anything."""

    def __init__(self) -> None:
        self._shards: list[dict[int, int]] = [{} for _ in range(SHARDS)]
        self._common: dict[int, int] = {}
        self._counts: dict[int, int] = {}
        self._taken: dict[int, array[int]] = {}
        """Replica -> each key that it holds at least once, beside some that it held."""

    def add(self, replica: int) -> None:
        self._counts[replica], self._taken[replica] = 0, array("Q")

    def drop(self, replica: int) -> None:
        self.clear(replica)
        del self._counts[replica], self._taken[replica]

    def holders(self, key: int) -> int:
        """The replicas that hold it, as bits."""
        return self._shards[key % SHARDS].get(key, 0)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, int) and key in self._shards[key % SHARDS]

    def __len__(self) -> int:
        """Keys that some replica holds."""
        return sum(map(len, self._shards))

    def count(self, replica: int) -> int:
        """Keys that the replica holds."""
        return self._counts[replica]

    def held(self, replica: int) -> set[int]:
        """The keys that the replica holds."""
        bit, shards = 1 << replica, self._shards
        return {key for key in self._taken[replica] if shards[key % SHARDS].get(key, 0) & bit}

    def store(self, replica: int, keys: Sequence[int]) -> None:
        """The replica holds these keys, too."""
        bit, shards = 1 << replica, self._shards
        alone = self._kept_once(bit)
        count = self._counts[replica]
        for key in keys:
            shard = shards[key % SHARDS]
            holders = shard.get(key)
            if holders is None:
                shard[key] = alone
                count += 1
            elif not holders & bit:
                shard[key] = self._kept_once(holders | bit)
                count += 1
        self._counts[replica] = count
        taken = self._taken[replica]
        taken.extend(keys)
        if len(taken) > 2 * count + SLACK_KEYS:
            self._taken[replica] = array("Q", self.held(replica))

    def remove(self, replica: int, keys: Iterable[int]) -> list[int]:
        """The replica does not hold these keys any more. Returns those that it held."""
        bit, shards = 1 << replica, self._shards
        removed = []
        for key in keys:
            shard = shards[key % SHARDS]
            holders = shard.get(key, 0)
            if not holders & bit:
                continue
            removed.append(key)
            if holders == bit:
                del shard[key]
            else:
                shard[key] = self._kept_once(holders ^ bit)
        self._counts[replica] -= len(removed)
        return removed

    def clear(self, replica: int) -> None:
        """The replica holds nothing any more."""
        self.remove(replica, self._taken[replica])
        self._taken[replica] = array("Q")

    def size_bytes(self) -> int:
        """Its memory, estimated."""
        total = sum(map(getsizeof, self._shards)) + sum(map(getsizeof, self._taken.values()))
        sample = [getsizeof(holders) for holders in islice(self._common, 100)]
        sets = len(self._common) * sum(sample) // max(1, len(sample))
        return total + getsizeof(self._common) + sets + KEY_BYTES * len(self)

    def _kept_once(self, holders: int) -> int:
        if len(self._common) >= MOST_COMMON:
            self._common.clear()
        return self._common.setdefault(holders, holders)
