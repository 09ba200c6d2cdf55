"""How much a fleet holds, and which fleet is the smallest that holds enough: questions that take several runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from loadtest.simulator.cells import Cell, Figures
from loadtest.simulator.fleets import simulated_fleet
from loadtest.simulator.options import Options
from loadtest.simulator.run import RatesKnown
from loadtest.simulator.summary import grouped, slo_share

LEAST_LOAD, MOST_LOAD = 0.05, 4.0
PRECISION = 1.02
"""Ratio of the two loads between which the highest one lies in the end."""

Question = tuple[str, str, RatesKnown, str]
"""Trace, fleet, rates, policy."""

Run = Callable[[Sequence[Cell]], Mapping[Cell, Figures]]


@dataclass(frozen=True)
class Held:
    """The highest load that holds the SLO: 0 where even the least does not; `rate` is the same in requests/s."""

    trace: str
    fleet: str
    rates: RatesKnown
    policy: str
    load: float
    rate: float


def find_goodput(options: Options, run: Run) -> list[Held]:
    """By bisection, of all questions at once, so that all processes have work. A fleet holds a load where the share of
    requests within the SLO, on average over the seeds, is what was asked for."""
    questions = product(options.traces, options.fleets, options.rates, options.policies)
    bounds: dict[Question, tuple[float, float]] = dict.fromkeys(questions, (LEAST_LOAD, MOST_LOAD))
    rates: dict[Question, float] = {}
    kept = _asked(options, dict.fromkeys(bounds, LEAST_LOAD), run, rates)
    lost = {question for question, held in kept.items() if not held}
    while wide := [q for q, (low, high) in bounds.items() if q not in lost and high / low > PRECISION]:
        middles = {q: math.sqrt(bounds[q][0] * bounds[q][1]) for q in wide}
        for question, held in _asked(options, middles, run, rates).items():
            low, high = bounds[question]
            bounds[question] = (middles[question], high) if held else (low, middles[question])
    return [
        Held(*question, 0.0, 0.0) if question in lost else Held(*question, low, rates[question] * low)
        for question, (low, _) in bounds.items()
    ]


def smallest_for(options: Options, rate: float, run: Run) -> list[tuple[str, int, str, float]]:
    """(fleet, replicas, policy, share within the SLO) of each fleet at `rate` requests/s, the smallest first: by
    replicas, then as they were listed. Over several traces the worst one counts."""
    cells = [
        cell
        for trace, fleet, rates, policy in product(options.traces, options.fleets, options.rates, options.policies)
        for cell in options.seeded(trace, fleet, policy, rates, rate=rate)
    ]
    shares: dict[tuple[str, str], float] = {}
    for group in grouped(run(cells)):
        key = (group.cell.fleet, group.cell.policy)
        shares[key] = min(shares.get(key, 1.0), group.mean(slo_share))
    size = {fleet: len(simulated_fleet(fleet, options.model).members) for fleet in options.fleets}
    ordered = sorted(options.fleets, key=size.__getitem__)
    return [(fleet, size[fleet], policy, shares[fleet, policy]) for fleet in ordered for policy in options.policies]


def _asked(
    options: Options, loads: Mapping[Question, float], run: Run, rates: dict[Question, float]
) -> dict[Question, bool]:
    """Whether each holds its load. Notes in `rates` the requests/s of load 1."""
    found: dict[Question, bool] = {}
    for group in grouped(run(list(_cells(options, loads)))):
        cell = group.cell
        question = (cell.trace, cell.fleet, cell.rates, cell.policy)
        found[question] = group.mean(slo_share) >= options.slo_share
        assert cell.load is not None
        rates[question] = group.mean(lambda f: float(f["offered_per_s"])) / cell.load
    return found


def _cells(options: Options, loads: Mapping[Question, float]) -> Iterable[Cell]:
    for (trace, fleet, rates, policy), load in loads.items():
        yield from options.seeded(trace, fleet, policy, rates, load=load)
