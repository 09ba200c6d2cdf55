"""Simulates fleets: `python -m loadtest.simulate --trace shared-prefix --fleet mixed9 --policy all --load 0.8 1.2`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from cluster.command_line import run as run_command
from cluster.command_line import single
from cluster.loading import FleetError
from cluster.tables import Table, show
from loadtest.command import Refused, outcome
from loadtest.commands import SIMULATE
from loadtest.results import write_text
from loadtest.simulator.cells import Cell, Figures
from loadtest.simulator.grid import Results, run_cells
from loadtest.simulator.options import Options, SimulationArguments
from loadtest.simulator.planning import Run, find_goodput, smallest_for
from loadtest.simulator.report import HELD_HEADINGS, held_rows, report_page
from loadtest.simulator.run import CannotSimulate
from loadtest.simulator.summary import HEADINGS, grouped, rows
from loadtest.traces.trace import TraceError

PAGE = "simulations.html"


def run(options: Options) -> None:
    """Runs what is missing, prints the tables, writes the page. Raises Refused, KeyboardInterrupt."""
    try:
        _run(options)
    except (TraceError, FleetError, CannotSimulate) as error:
        raise Refused(str(error)) from error


def _run(options: Options) -> None:
    results = Results(options.out)
    known: dict[Cell, Figures] = {}

    def ask(cells: Sequence[Cell]) -> Mapping[Cell, Figures]:
        found = run_cells(cells, results, options.jobs)
        known.update(found)
        return found

    held = find_goodput(options, ask) if options.find_goodput else []
    if held:
        show(Table(HELD_HEADINGS, held_rows(held)))
        print(f"a fleet holds a load where {options.slo_share:.0%} of the requests are within the SLO")
    elif options.smallest_for is not None:
        _say_smallest(options, options.smallest_for, ask)
    else:
        ask(list(options.cells()))
        show(Table(HEADINGS, rows(grouped(known))))
    page = options.out / PAGE
    write_text(page, report_page(grouped(known), held))
    print(f"results: {results.file}, {page}", flush=True)


def _say_smallest(options: Options, rate: float, ask: Run) -> None:
    compared = smallest_for(options, rate, ask)
    headings = ("fleet", "replicas", "policy", "in SLO")
    show(Table(headings, [(f, str(n), policy, f"{share:.1%}") for f, n, policy, share in compared]))
    enough = [(fleet, policy) for fleet, _, policy, share in compared if share >= options.slo_share]
    if enough:
        print(f"smallest that holds {rate:g} requests/s: {enough[0][0]} (policy {enough[0][1]})")
    else:
        print(f"none of these holds {rate:g} requests/s: give larger fleets")


def simulate(arguments: SimulationArguments) -> int:
    """0: done; 2: it could not be run; 130: interrupted, and what was finished is kept."""

    def simulated() -> bool:
        run(arguments.options())
        return True

    return outcome(simulated, "what was finished is kept; the same command goes on from there")


def main(arguments: Sequence[str]) -> int:
    return run_command(single(SIMULATE, simulate), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
