from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from deployments.routing import POLICIES, Request
from deployments.routing.policies.seconds import Seconds
from deployments.routing.policy import Choice, Situation
from loadtest.latency import Slo
from loadtest.simulator.cells import Cell, capacity, figures, told
from loadtest.simulator.fleets import SimulatedFleet, simulated_fleet
from loadtest.simulator.run import CannotSimulate, Outcome, Settings, simulate
from loadtest.traces.generators import generate
from loadtest.traces.trace import Trace

SHARED = "shared-prefix:groups=12,system=2000,question=500,output=60,rate=20,count=150"


def fleet_of(name: str = "h200x4-mi350x8") -> SimulatedFleet:
    return simulated_fleet(name)


def at_load(load: float, fleet: SimulatedFleet, spec: str = SHARED) -> Trace:
    trace = generate(spec, 1)
    return trace.at_rate(load * capacity(fleet, trace.requests))


def run(policy: Any = "seconds", load: float = 0.8, **settings: Any) -> Outcome:
    fleet = fleet_of()
    return simulate(fleet, at_load(load, fleet).requests, policy, Settings(**settings))


@pytest.mark.parametrize("policy", POLICIES)
def test_every_request_has_its_answer_and_no_cause_follows_its_effect(policy: str) -> None:
    outcome = run(policy, load=1.2)
    assert len(outcome.trips) == 150
    for trip in outcome.trips:
        sequence = trip.sequence
        times = [trip.asked.at_s, trip.placed_at, sequence.submitted_at, sequence.scheduled_at]
        times += [sequence.first_token_at, sequence.ended_at]
        assert times == sorted(times), "arrival, choice, queue, batch, first token, end"
        assert trip.timing.ok
    table = outcome.router.table
    assert not any(column.any() for column in (table.open_requests, table.waiting_work, table.open_tokens))
    assert all(engine.blocks.in_use == 0 and not engine.live for engine in outcome.engines)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_to_the_last_digit() -> None:
    fleet = fleet_of()

    def once(chance: int) -> str:
        return repr(told(run("power-of-two", chance=chance), fleet, Slo()))

    assert once(1) == once(1)
    assert once(1) != once(2)


@pytest.mark.slow
def test_a_policy_never_learns_how_long_an_answer_will_be() -> None:
    class Spy(Seconds):
        seen: set[str] = set()

        def choose(self, situation: Situation) -> Choice:
            self.seen.update(field.name for field in fields(situation.request))
            return super().choose(situation)

    spy = Spy()
    outcome = run(spy)
    assert spy.seen == {field.name for field in fields(Request)}
    assert not any("output" in name or "answer" in name for name in spy.seen)
    longer = fleet_of()
    trace = at_load(0.8, longer)
    # Answers differ in the last requests only: until their ends nobody can have chosen otherwise.
    changed = [r if n < 140 else type(r)(**{**_fields(r), "output_tokens": 400}) for n, r in enumerate(trace.requests)]
    other = simulate(longer, changed, "seconds", Settings())
    same = [(a.engine, b.engine) for a, b in zip(outcome.trips[:140], other.trips[:140], strict=True)]
    assert all(a == b for a, b in same)


def _fields(request: Any) -> dict[str, Any]:
    return {field.name: getattr(request, field.name) for field in fields(request)}


def test_speeds_are_learned_as_if_they_had_been_known() -> None:
    fleet = fleet_of("fast4-slow8")
    requests = at_load(0.8, fleet, SHARED.replace("count=150", "count=400")).requests
    learned, known = (simulate(fleet, requests, "seconds", Settings(rates=r)) for r in ("learned", "known"))
    router = learned.router
    scale = [router.scale(replica).value for replica in router.replicas.values() if router.scale(replica).observations]
    assert max(scale) / min(scale) > 1.5
    late = [told(outcome, fleet, Slo())["ttft_s"]["p90"] for outcome in (learned, known)]
    assert late[0] < 1.5 * late[1]


def test_a_rule_that_knows_speeds_and_prefixes_beats_one_that_knows_nothing() -> None:
    fleet = fleet_of()
    ours, blind = (told(run(policy, load=1.0), fleet, Slo()) for policy in ("seconds", "round-robin"))
    assert ours["ttft_s"]["p90"] < blind["ttft_s"]["p90"] / 1.5
    assert ours["token_hit_rate"] > blind["token_hit_rate"]


def test_mlperf_fleets_reuse_nothing(tmp_path: Path) -> None:
    fleet = fleet_of()
    outcome = simulate(SimulatedFleet(fleet.name, fleet.members, prefixes=False), at_load(0.5, fleet).requests)
    assert told(outcome, fleet, Slo())["cached_tokens"] == 0


def test_a_request_larger_than_a_cache_is_refused() -> None:
    fleet = fleet_of().with_kv_tokens(1000)
    with pytest.raises(CannotSimulate, match="whose KV cache holds"):
        simulate(fleet, at_load(0.5, fleet).requests)


def test_a_small_run_as_it_was() -> None:
    """Golden: what changes it changes every figure of the documentation."""
    found = figures(Cell(SHARED, "equal8", "least-outstanding", load=0.6, requests=150))
    assert found["requests"] == 150
    assert found["slo_share"] == 1.0
    assert found["ttft_s"]["p90"] == pytest.approx(0.109354, rel=1e-4)
    assert found["token_hit_rate"] == pytest.approx(0.394667, rel=1e-4)
