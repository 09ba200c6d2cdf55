"""One simulated run: a trace's requests, the router of serving, virtual engines, one clock.

The router learns what a gateway learns, when it learns it: first tokens and ends at once, what caches hold and how
loaded engines are some time later. It never sees how long an answer will be.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Literal

from deployments.engine.fake.kv_blocks import BlockEvent, KvBlocks
from deployments.routing import Booking, Request, Router
from deployments.routing.booking import Replica
from deployments.routing.policy import Policy
from deployments.routing.seeds import seed_of
from loadtest.latency import Timing
from loadtest.simulator.caches import CacheNews
from loadtest.simulator.contents import Contents, block_tokens_of
from loadtest.simulator.engine import Engine
from loadtest.simulator.fleets import Member, SimulatedFleet
from loadtest.simulator.sequence import Sequence
from loadtest.traces.trace import TraceRequest

RatesKnown = Literal["learned", "known"]


class CannotSimulate(ValueError):
    """A trace and a fleet that do not fit. The message says why and what to do."""


@dataclass(frozen=True)
class Settings:
    """Of a run. Times in seconds.

    Attributes:
        rates: whether the router begins with the true rates, or takes all accelerators for equal, unknown ones.
        events_after_s: from a change in a cache to the router's knowing of it.
        heartbeat_s: between two words of the engines on their load.
        decision_s: that a choice takes: 0 leaves it out.
        chance: seed of what the router leaves to chance.
    """

    rates: RatesKnown = "learned"
    events_after_s: float = 0.005
    heartbeat_s: float = 0.1
    decision_s: float = 0.0
    chance: int = 0


@dataclass(slots=True)
class Trip:
    """One request's way through the fleet."""

    asked: TraceRequest
    request: Request
    sequence: Sequence
    placed_at: float = math.nan
    booking: Booking | None = None
    engine: int = -1

    @property
    def timing(self) -> Timing:
        sequence = self.sequence
        return Timing(
            at_s=self.asked.at_s,
            first_token_s=sequence.first_token_at,
            end_s=sequence.ended_at,
            input_tokens=self.asked.input_tokens,
            output_tokens=self.asked.output_tokens,
            cached_tokens=min(sequence.cached_tokens, self.asked.input_tokens),
            ok=not math.isnan(sequence.ended_at),
        )


@dataclass(frozen=True)
class Outcome:
    """Every request's way, in the order of arrival, and the engines as they ended."""

    trips: list[Trip]
    engines: list[Engine]
    router: Router
    ended_at: float

    @property
    def timings(self) -> list[Timing]:
        return [trip.timing for trip in self.trips]

    @property
    def busy_s(self) -> list[float]:
        """Of each replica."""
        return [engine.busy_s for engine in self.engines]


def simulate(
    fleet: SimulatedFleet,
    requests: SequenceOf[TraceRequest],
    policy: Policy | str = "seconds",
    settings: Settings | None = None,
) -> Outcome:
    """All requests to their ends. Raises CannotSimulate."""
    return Run(fleet, requests, policy, settings or Settings()).to_the_end()


@dataclass
class Run:
    fleet: SimulatedFleet
    requests: SequenceOf[TraceRequest]
    policy: Policy | str
    settings: Settings

    now: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        block_tokens = block_tokens_of(self.requests)
        self.router = Router(
            "simulated",
            self.policy,
            prefixes=self.fleet.prefixes,
            seed=self.settings.chance,
            key_tokens=block_tokens,
        )
        self.trips = _trips(self.requests, block_tokens, self.fleet.prefixes)
        _check(self.fleet, self.trips, block_tokens)
        self.replicas: list[Replica] = []
        self.engines: list[Engine] = []
        self.news: list[CacheNews] = []
        self.left: set[int] = set()
        """Numbers of those that the router no longer knows."""
        self._numbers: dict[str, int] = {}
        self._block_tokens = block_tokens
        for member in self.fleet.members:
            self._add(member)
        self._waiting: deque[Trip] = deque()
        self._told: deque[tuple[float, int, list[BlockEvent]]] = deque()
        self._sent: list[tuple[float, int, Trip]] = []
        self._due: list[tuple[float, int]] = []
        self._by_sequence = {trip.sequence: trip for trip in self.trips}
        self._open = len(self.trips)

    # What a fleet whose size changes does otherwise

    def _going_on(self) -> bool:
        return self._open > 0

    def _tick_at(self) -> float:
        """When the fleet's size is looked at next."""
        return math.inf

    def _tick(self) -> None:
        raise NotImplementedError

    def _add(self, member: Member) -> None:
        block_tokens = self._block_tokens
        blocks = KvBlocks(member.speed.kv_tokens // block_tokens, block_tokens, caches=self.fleet.prefixes)
        known = self.settings.rates == "known"
        replica = self.router.add(
            member.name,
            member.name,
            member.pool,
            math.ceil(member.slots * self.fleet.overcommit),
            member.speed.seed(member.budget) if known else seed_of(None),
            block_tokens=block_tokens,
            kv_tokens=blocks.count * block_tokens,
        )
        news = CacheNews(self.router.index, replica.row)
        blocks.on_event = news.take
        self._numbers[member.name] = len(self.engines)
        self.news.append(news)
        self.replicas.append(replica)
        self.engines.append(Engine(member.speed, member.slots, member.budget, blocks))

    def to_the_end(self) -> Outcome:
        arrivals = deque(self.trips)
        heartbeat_at = 0.0
        while self._going_on():
            arrive = arrivals[0].asked.at_s if arrivals else math.inf
            reach = self._sent[0][0] if self._sent else math.inf
            end = self._due[0][0] if self._due else math.inf
            tick = self._tick_at()
            at = min(arrive, reach, end, heartbeat_at, tick)
            assert at >= self.now, "the clock went back"
            assert at < math.inf
            self.now = at
            # At one moment: an engine's news first, so that whoever arrives then finds them.
            if end == at:
                self._advance()
            elif tick == at:
                self._tick()
            elif heartbeat_at == at:
                self._report()
                heartbeat_at = at + self.settings.heartbeat_s
            elif reach == at:
                self._submit(heappop(self._sent)[2])
            else:
                self._waiting.append(arrivals.popleft())
                self._place_waiting()
        return Outcome(self.trips, self.engines, self.router, self.now)

    # The gateway's side

    def _place_waiting(self) -> None:
        """Places who is first at the door, as long as some replica has room."""
        while self._waiting:
            while self._told and self._told[0][0] <= self.now:
                _, number, changes = self._told.popleft()
                if number not in self.left:
                    self.news[number].apply(changes)
            trip = self._waiting[0]
            booking = self.router.place(trip.request, self.now)
            if booking is None:
                return
            self._waiting.popleft()
            trip.booking, trip.placed_at = booking, self.now
            trip.engine = self._numbers[booking.replica.incarnation]
            speed = self.engines[trip.engine].speed
            at = self.now + self.settings.decision_s + speed.arrival_s
            heappush(self._sent, (at, trip.sequence.number, trip))

    def _report(self) -> None:
        for number, (replica, engine) in enumerate(zip(self.replicas, self.engines, strict=True)):
            if number in self.left:
                continue
            blocks = engine.blocks
            self.router.report(replica, len(engine.running), len(engine.waiting), blocks.in_use / blocks.count)

    # The engines' side

    def _submit(self, trip: Trip) -> None:
        engine = self.engines[trip.engine]
        before = engine.next_at
        engine.submit(trip.sequence, self.now)
        if engine.next_at != before:
            heappush(self._due, (engine.next_at, trip.engine))
        self._tell(trip.engine)

    def _advance(self) -> None:
        at, number = heappop(self._due)
        engine = self.engines[number]
        if engine.next_at != at:
            return  # its span was cut, and its end noted anew
        first, ended = engine.advance()
        if engine.next_at < math.inf:
            heappush(self._due, (engine.next_at, number))
        self._tell(number)
        for sequence in first:
            booking = self._by_sequence[sequence].booking
            assert booking is not None
            self.router.first_token(booking, self.now)
        for sequence in ended:
            booking = self._by_sequence[sequence].booking
            assert booking is not None
            self.router.finish(booking, self.now, sequence.output_tokens, sequence.cached_tokens)
            self._open -= 1
        if ended:
            self._place_waiting()

    def _tell(self, number: int) -> None:
        """What its cache changed, on its way to the router."""
        if changes := self.news[number].gathered():
            self._told.append((self.now + self.settings.events_after_s, number, changes))


def _trips(requests: SequenceOf[TraceRequest], block_tokens: int, prefixes: bool) -> list[Trip]:
    keys = Contents(block_tokens).keys(requests) if prefixes else [[] for _ in requests]
    trips = []
    for number, (asked, its_keys) in enumerate(zip(requests, keys, strict=True)):
        request = Request(
            tokens=asked.input_tokens,
            keys=its_keys[: asked.input_tokens // block_tokens],
            image_tokens=asked.image_tokens,
            audio_s=asked.audio_s,
            session=asked.session,
        )
        sequence = Sequence(
            number, max(1, asked.input_tokens), asked.output_tokens, its_keys, asked.image_tokens, asked.audio_s
        )
        trips.append(Trip(asked, request, sequence))
    return trips


def _check(fleet: SimulatedFleet, trips: SequenceOf[Trip], block_tokens: int) -> None:
    largest = max(trip.sequence.tokens for trip in trips)
    for member in fleet.members:
        holds = member.speed.kv_tokens // block_tokens * block_tokens
        if largest > holds:
            raise CannotSimulate(
                f"a request of {largest} tokens does not fit into {member.name}, whose KV cache holds {holds}: choose "
                f"another trace or fleet"
            )
