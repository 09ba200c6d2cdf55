"""The router of one model: its replicas, what they hold, how fast they are, and the choice among them.

Knows no clock: `now` comes from the caller, in seconds, never backwards. Belongs to one thread.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from deployments.routing.booking import Booking, Decision, Replica
from deployments.routing.cache_change import CacheChange
from deployments.routing.index import PrefixIndex
from deployments.routing.keys import KEY_TOKENS, PrefixKeys
from deployments.routing.lane import Lane, Waiting
from deployments.routing.learned import LearnedPool
from deployments.routing.policies import DEFAULT_POLICY, make_policy
from deployments.routing.policy import Choice, Policy, Situation
from deployments.routing.rates import PoolRates, Scale
from deployments.routing.seeds import Seed
from deployments.routing.sharing import OpenBookings, Sharing
from deployments.routing.table import FEW_ROWS, ReplicaTable
from deployments.routing.trust import Trust
from deployments.routing.work import Floats, Request, features, work_of

EXPECTED_FOR_S = 2.0
"""Blocks of a booked prompt are taken to be there until this long after its expected first token: by then the engine
has told of them."""
MOST_EXPECTED_FOR_S = 60.0
UNREPORTED_FOR_S = 600.0
"""The same of a replica that reports nothing of its cache: what was sent there lately is all that is known."""
FEW_BITS = 4
"""Holders of a prefix up to which each is looked at, where else numpy spreads the bits."""
OUTPUT_MEMORY = 0.98
FIRST_OUTPUT_TOKENS = 256.0
EXPLAIN_EVERY_S = 0.1
"""How often a decision is kept with all its terms where nobody asked for that. In a fleet of few replicas they are made
anyway, and every decision has them."""


class Router:
    """Books every request at the moment of its choice, so that a burst does not herd."""

    def __init__(
        self,
        model: str,
        policy: Policy | str = DEFAULT_POLICY,
        *,
        prefixes: bool = True,
        seed: int | None = None,
        key_tokens: int = KEY_TOKENS,
        prefix_keys: PrefixKeys | None = None,
    ) -> None:
        """`prefixes` False ignores them altogether, as MLPerf's rules ask. `seed` fixes what chance decides.

        `key_tokens`: that each key of a request stands for, where they are not those of `prefix_keys`, which are the
        fleet's where its cache reporters are followed.
        """
        self.policy = make_policy(policy) if isinstance(policy, str) else policy
        self.index = PrefixIndex(model, key_tokens, prefix_keys)
        self.table = ReplicaTable()
        self.replicas: dict[str, Replica] = {}
        self.changes = 0
        """How often a replica has come or gone."""
        self.output_tokens = FIRST_OUTPUT_TOKENS
        self.booked_s: dict[str, float] = {}
        """Pool -> seconds of prompts, each at its replica's own speed, that have been sent there."""
        self._prefixes = prefixes and self.policy.uses_prefixes
        self._rows: dict[int, Replica] = {}
        self._unreported: set[int] = set()
        self._names: tuple[str, ...] | None = None
        self._pools: dict[str, PoolRates] = {}
        self._lanes: dict[int, Lane] = {}
        self._trust: dict[int, Trust] = {}
        self._distrusted: set[int] = set()
        self._sharing = Sharing(self.table)
        self._chance = random.Random(seed)
        self._explain_at = -math.inf

    # Replicas

    def add(
        self,
        name: str,
        incarnation: str,
        pool: str,
        limit: int,
        seed: Seed,
        *,
        block_tokens: int = KEY_TOKENS,
        kv_tokens: int | None = None,
        reports_cache: bool = True,
    ) -> Replica:
        """A replica that may be chosen from now on; `kv_tokens` is the size of its KV cache.

        `reports_cache`: whether `change` will tell what it holds. Where not, this router's own bookings must do.

        `seed` is what its pool is taken to be like until its first replica has been observed.
        """
        row = self.table.new_row()
        replica = Replica(name, incarnation, pool, row)
        self.replicas[incarnation] = self._rows[row] = replica
        self.changes += 1
        self._names = None
        self.table.set_size(row, limit, block_tokens)
        rates = self._pools.setdefault(pool, PoolRates(self.table, seed, self._pools))
        rates.add(row)
        self._lanes[row] = Lane(self.table, row, rates)
        self._trust[row] = Trust()
        self.index.add(row, kv_tokens // block_tokens if kv_tokens else None, block_tokens)
        if not reports_cache:
            self._unreported.add(row)
        return replica

    def remove(self, incarnation: str) -> None:
        """Nothing new goes there; what is open there ends as it does."""
        replica = self.replicas.pop(incarnation)
        self.changes += 1
        self.table.leave(replica.row)
        self.index.drop(replica.row)
        self._unreported.discard(replica.row)
        self._free_if_idle(replica)

    def eject(self, replica: Replica, until: float) -> None:
        """Passes it over until then: it has just failed."""
        self.table.eject(replica.row, until)

    def report(self, replica: Replica, running: int, queued: int, kv_use: float) -> None:
        """The engine's own word of its load."""
        row, table = replica.row, self.table
        table.running[row], table.queued[row], table.kv_use[row] = running, queued, kv_use
        table.set_displaces(row, self.index.displaces(row))

    def learned(self) -> dict[str, LearnedPool]:
        """What was learned of each pool's speed, for a router that starts."""
        return {
            name: rates.learned({row: self._rows[row].incarnation for row in rates.scales})
            for name, rates in self._pools.items()
        }

    def adopt(self, learned: Mapping[str, LearnedPool]) -> None:
        """Takes over what another router has learned, where that is more than here."""
        for name, of_pool in learned.items():
            if rates := self._pools.get(name):
                rates.adopt(of_pool, {self._rows[row].incarnation: row for row in rates.scales})

    def scale(self, replica: Replica) -> Scale:
        """What was learned of its own speed."""
        return self._pools[replica.pool].scales[replica.row]

    def slot_seconds(self, request: Request, output_tokens: float) -> float:
        """Seconds for which a request is expected to hold slots of a replica, at the mean of the replicas' rates.

        The prompt as if nothing of it were cached, then each of its answers with `output_tokens`. 0 without a replica.
        """
        rows = (self.table.present & ~self.table.leaving).nonzero()[0]
        if not rows.size:
            return 0.0
        prompt_s = float(features(request, np.zeros(1))[0] @ self.table.theta[rows].mean(axis=0))
        return prompt_s + request.sequences * output_tokens * float(self.table.token_s[rows].mean())

    # What caches hold

    def change(self, replica: Replica, change: CacheChange) -> None:
        """Follows its cache."""
        if replica.incarnation in self.replicas:
            self.index.change(replica.row, change)
            self.table.set_displaces(replica.row, self.index.displaces(replica.row))

    def held(self, replica: Replica) -> set[int]:
        """The keys that it holds; none where it is gone."""
        return self.index.held(replica.row) if replica.incarnation in self.replicas else set()

    def clear(self, replica: Replica) -> None:
        """Forgets what it held."""
        if replica.incarnation in self.replicas:
            self.index.clear(replica.row)

    def believe(self, replica: Replica, share: float) -> None:
        """How far what its engine told of its cache is to be believed, from 0 to 1."""
        if replica.incarnation in self.replicas:
            self._trust[replica.row].belief = share
            self._show_trust(replica)

    # Requests

    def place(self, request: Request, now: float, excluded: Collection[str] = ()) -> Booking | None:
        """Chooses a replica and books the request there; None where none has room.

        `excluded`: incarnations that failed this request, which get it again only where there is no other.
        """
        started = time.perf_counter()
        self.index.expire(now)
        table = self.table
        table.end_ejections(now)
        room, closed, count = self._candidates(excluded)
        if not count:
            return None
        matched = self._matched(request)
        situation = Situation(
            now=now,
            request=request,
            table=table,
            room=room,
            closed=closed,
            count=count,
            cached=matched if matched is None or not self._distrusted else matched * table.trust,
            chance=self._chance,
            output_tokens=self.output_tokens,
            get_row_names=self._row_names,
            asked_again=self.index.lost.asked_again,
            explained=request.explained or now >= self._explain_at or table.rows <= FEW_ROWS,
        )
        choice = self.policy.choose(situation)
        booking = self._book(request, now, situation, choice, matched)
        booking.decided_in_s = time.perf_counter() - started
        if choice.rows:
            booking.decision = self._explained(situation, choice, booking)
            self._explain_at = now + EXPLAIN_EVERY_S
        return booking

    def first_token(self, booking: Booking, now: float) -> None:
        """The first token of the answer has come."""
        if not booking.open or booking.first_token_at is not None:
            return
        booking.first_token_at = now
        booking.beside = self.table.decoding(booking.replica.row)
        lane = self._lanes[booking.replica.row]
        if booking.request.sequences == 1:
            lane.first_token(booking.waiting, now)
        else:
            lane.leave(booking.waiting, now)  # the first token of one sequence tells nothing of the others' work

    def finish(
        self, booking: Booking, now: float, output_tokens: int | None = None, cached_tokens: int | None = None
    ) -> None:
        """The answer is whole. The counts are the engine's own, where it tells them."""
        if not booking.open:
            return
        lane = self._lanes[booking.replica.row]
        if output_tokens:
            each = output_tokens / booking.request.sequences
            self.output_tokens += (1 - OUTPUT_MEMORY) * (each - self.output_tokens)
        if booking.request.sequences > 1:
            lane.leave(booking.waiting, now)  # its sequences share the time, in parts that nobody tells
        elif booking.first_token_at is None and (output_tokens or booking.request.audio_s):
            # Not seen, but it follows from the answer's length. Speech is work of its own, from start to end.
            token_s = lane.rates.scales[lane.row].token_s
            decoding_s = 0.0 if booking.request.audio_s else (output_tokens or 1) * token_s
            lane.first_token(booking.waiting, now - decoding_s)
        elif booking.first_token_at is not None and output_tokens and output_tokens > 1:
            beside = (booking.beside + self.table.decoding(lane.row) - 1) / 2
            lane.rates.observe_token(lane.row, (now - booking.first_token_at) / (output_tokens - 1), beside)
        if cached_tokens is not None and self._prefixes and booking.request.keys:
            self._trust[booking.replica.row].compare(booking.cached_tokens, cached_tokens)
            self._show_trust(booking.replica)
        self.release(booking, now)

    def release(self, booking: Booking, now: float) -> None:
        """Ends a booking, however its request ended. A second time does nothing."""
        if not booking.open:
            return
        booking.open = False
        row = booking.replica.row
        self._lanes[row].leave(booking.waiting, now)
        self.table.open(row, -booking.request.sequences, -booking.request.tokens)
        self._free_if_idle(booking.replica)

    # Other gateways

    def open_bookings(self, everything: bool = True) -> OpenBookings:
        """What is open here, for other gateways to know: everything, or what has changed since the last time."""
        return self._sharing.changed(self.replicas, everything)

    def set_others(self, gateway: str, bookings: OpenBookings) -> None:
        """What another gateway has open."""
        self._sharing.set(gateway, bookings, self.replicas)

    # Inside

    def _candidates(self, excluded: Collection[str]) -> tuple[Floats, Floats, int]:
        """Of all rows: 1 and 0 where a candidate is, 0 and infinite where none is; and how many there are."""
        table = self.table
        barred = [replica.row for i in excluded if (replica := self.replicas.get(i))] if excluded else []
        if not barred or len(barred) == len(self.replicas):
            return table.room, table.closed, table.with_room
        room, closed = table.room.copy(), table.closed.copy()
        room[barred], closed[barred] = 0.0, math.inf
        return room, closed, int(room.sum())

    def _matched(self, request: Request) -> Floats | None:
        """(rows of the table) tokens of the prompt that each replica holds; None where none holds any. The last is
        always computed anew."""
        if not (self._prefixes and request.keys):
            return None
        found = self.index.matches(request.keys)
        if not found:
            return None
        if len(found) > 1:
            found.sort(key=_count)
        matched = np.zeros(self.table.rows)
        per_key, most, block = self.index.key_tokens, max(0, request.tokens - 1), self.table.common_block()
        for holders, count in found:
            tokens = min(count * per_key, most)
            tokens -= tokens % block
            if holders.bit_count() <= FEW_BITS:
                while holders:
                    row = holders.bit_length() - 1
                    matched[row] = tokens
                    holders ^= 1 << row
            else:
                matched[_bits(holders, len(matched))] = tokens
        if block == 1:
            matched -= matched % self.table.block_tokens
        return matched

    def _book(
        self, request: Request, now: float, situation: Situation, choice: Choice, matched: Floats | None
    ) -> Booking:
        row = choice.row
        replica, rates = self._rows[row], self._lanes[row].rates
        known = 0 if matched is None else int(matched[row])
        uncached = request.tokens - (0.0 if situation.cached is None else float(situation.cached[row]))
        waiting = Waiting(work_of(request, uncached), request.streams)
        first_token_s = choice.first_token_s
        if first_token_s is None:
            place = int(np.searchsorted(situation.rows, row))
            first_token_s = float(situation.waiting_s[place] + situation.own_s[place])
        booking = Booking(replica, request, known, now, waiting, first_token_s)
        own_s = rates.seconds_of(row, waiting.work)
        self.booked_s[replica.pool] = self.booked_s.get(replica.pool, 0.0) + own_s
        self.table.open(row, request.sequences, request.tokens)
        self._lanes[row].enter(waiting, now)
        if self._prefixes and request.keys:
            reports = row not in self._unreported
            lifetime_s = min(first_token_s + EXPECTED_FOR_S, MOST_EXPECTED_FOR_S) if reports else UNREPORTED_FOR_S
            self.index.expect(row, request.keys, known // self.index.key_tokens, now + lifetime_s, reports=reports)
        return booking

    def _explained(self, situation: Situation, choice: Choice, booking: Booking) -> Decision:
        rows = choice.rows
        cached = [0.0] * len(rows) if situation.cached is None else situation.cached[list(rows)].tolist()
        return Decision(
            candidates=[self._rows[row].name for row in rows],
            chosen=rows.index(choice.row),
            terms=choice.terms,
            cached_tokens=cached,
            first_token_s=booking.first_token_s,
            seconds=booking.decided_in_s,
        )

    def _row_names(self) -> tuple[str, ...]:
        """A new tuple after each change: policies keep what they made of one."""
        if self._names is None:
            names = {row: replica.name for row, replica in self._rows.items()}
            self._names = tuple(names.get(row, "") for row in range(self.table.rows))
        return self._names

    def _show_trust(self, replica: Replica) -> None:
        share = self.table.trust[replica.row] = self._trust[replica.row].share
        if share == 1.0:
            self._distrusted.discard(replica.row)
        else:
            self._distrusted.add(replica.row)

    def _free_if_idle(self, replica: Replica) -> None:
        row = replica.row
        if self.table.leaving[row] and not self.table.open_requests[row] and self._rows.get(row) is replica:
            self._sharing.forget(row)
            self._pools[replica.pool].remove(row)
            self.table.free_row(row)
            del self._rows[row], self._lanes[row], self._trust[row]
            self._distrusted.discard(row)
            self._names = None


def _count(found: tuple[int, int]) -> int:
    return found[1]


def _bits(number: int, count: int) -> npt.NDArray[np.bool_]:
    """(count) its bits, the lowest first."""
    octets = np.frombuffer(number.to_bytes(-(-count // 8), "little"), np.uint8)
    return np.unpackbits(octets, count=count, bitorder="little").view(np.bool_)
