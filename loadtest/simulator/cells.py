"""One cell of a grid: everything that a simulated run follows from, and the figures that come of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from loadtest.latency import Slo, imbalance, latencies
from loadtest.simulator.fleets import Member, SimulatedFleet, simulated_fleet
from loadtest.simulator.run import CannotSimulate, Outcome, RatesKnown, Settings, simulate
from loadtest.traces.generators import GENERATORS
from loadtest.traces.loading import FOR_MODEL, load_trace
from loadtest.traces.trace import Trace, TraceRequest

Figures = dict[str, Any]

_GOLDEN = 0.6180339887498949
"""Multiples of it spread evenly over (0, 1), however many there are."""


@dataclass(frozen=True)
class Cell:
    """A run as JSON can hold it.

    Attributes:
        load: arriving input tokens per second over what the whole fleet prefills with nothing cached.
        rate: requests per second, in place of `load`.
        seed: which window of a trace, which draw of a generator, and what the router leaves to chance.
        requests: of the window; all that there are where the trace has fewer.
        kv_tokens: of every replica, in place of its own.
    """

    trace: str
    fleet: str
    policy: str
    load: float | None
    seed: int = 0
    requests: int = 2000
    rates: RatesKnown = "learned"
    rate: float | None = None
    model: str | None = None
    kv_tokens: int | None = None
    events_ms: float = 5.0
    heartbeat_ms: float = 100.0
    decision_ms: float = 0.0
    slo_ttft_s: float = 2.0
    slo_tpot_s: float = 0.08

    @property
    def slo(self) -> Slo:
        return Slo(self.slo_ttft_s, self.slo_tpot_s)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def figures(cell: Cell) -> Figures:
    """Runs it. The same for the same cell, to the last digit. Raises TraceError, FleetError, CannotSimulate."""
    fleet = _fleet(cell.fleet, cell.model, cell.kv_tokens)
    trace = _window(cell.trace, cell.seed, cell.requests)
    offered_per_s = offered(cell, fleet, trace)
    outcome = simulate(fleet, trace.at_rate(offered_per_s).requests, cell.policy, _settings(cell))
    return {"offered_per_s": offered_per_s, **told(outcome, fleet, cell.slo)}


def read_from(cell: Cell) -> str:
    """A digest of what the cell only names: the fleet's replicas, and the content of a trace's file.

    Raises FleetError. A trace that is no file is told by its name alone.
    """
    fleet = repr(_fleet(cell.fleet, cell.model, cell.kv_tokens)).encode()
    return blake2b(fleet + _content(_without_model(cell.trace)), digest_size=8).hexdigest()


def offered(cell: Cell, fleet: SimulatedFleet, trace: Trace) -> float:
    """Requests per second of the cell."""
    if cell.rate is not None:
        return cell.rate
    assert cell.load is not None
    return cell.load * capacity(fleet, trace.requests)


def capacity(fleet: SimulatedFleet, requests: Sequence[TraceRequest]) -> float:
    """Requests like these per second that the fleet prefills with nothing cached and nobody decoding: load 1."""
    seconds = {_kind(member): 0.0 for member in fleet.members}
    for member in {_kind(member): member for member in fleet.members}.values():
        seconds[_kind(member)] = sum(member.prefill_s(r.input_tokens, r.image_tokens, r.audio_s) for r in requests)
    return sum(len(requests) / seconds[_kind(member)] for member in fleet.members)


def told(outcome: Outcome, fleet: SimulatedFleet, slo: Slo) -> Figures:
    """What a run comes to."""
    latency = latencies(outcome.timings, slo, fleet.mean_prefill_s).as_dict()
    wrong = sum(abs(trip.booking.cached_tokens - trip.sequence.cached_tokens) for trip in outcome.trips if trip.booking)
    return {
        **latency,
        "imbalance": imbalance(outcome.busy_s),
        "busy_share": sum(outcome.busy_s) / len(outcome.busy_s) / outcome.ended_at if outcome.ended_at else 0.0,
        "preemptions": sum(engine.preemptions for engine in outcome.engines),
        "hit_error": wrong / max(1, latency["input_tokens"]),
        "longest_at_door_s": max(trip.placed_at - trip.asked.at_s for trip in outcome.trips),
    }


def _settings(cell: Cell) -> Settings:
    return Settings(
        rates=cell.rates,
        events_after_s=cell.events_ms / 1e3,
        heartbeat_s=cell.heartbeat_ms / 1e3,
        decision_s=cell.decision_ms / 1e3,
        chance=cell.seed,
    )


def _kind(member: Member) -> tuple[object, int]:
    return member.speed, member.budget


@lru_cache(maxsize=8)
def _fleet(named: str, model: str | None, kv_tokens: int | None) -> SimulatedFleet:
    fleet = simulated_fleet(named, model)
    return fleet.with_kv_tokens(kv_tokens) if kv_tokens else fleet


@lru_cache(maxsize=16)
def _content(trace: str) -> bytes:
    file = Path(trace)
    return blake2b(file.read_bytes()).digest() if file.is_file() else b""


def _without_model(trace: str) -> str:
    return trace.removeprefix(FOR_MODEL).partition(":")[2] if trace.startswith(FOR_MODEL) else trace


@lru_cache(maxsize=4)
def _whole(named: str, seed: int) -> Trace:
    return load_trace(named, seed)


@lru_cache(maxsize=8)
def _window(named: str, seed: int, requests: int) -> Trace:
    """The `seed`-th window. A generator's are draws of their own; a file's lie apart as far as its length allows."""
    drawn = _without_model(named).partition(":")[0] in GENERATORS
    trace = _whole(named, seed if drawn else 0)
    count = min(requests, len(trace))
    start = 0 if drawn else int(seed * _GOLDEN % 1 * (len(trace) - count))
    window = trace.window(start, count)
    if not window.requests_per_s:
        raise CannotSimulate(f"{named}: requests {start} to {start + count} all arrive at once: take a longer window")
    return window
