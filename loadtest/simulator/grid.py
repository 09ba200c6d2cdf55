"""Runs cells in processes of their own and keeps every result, so that an interrupted grid goes on where it was."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import lru_cache
from hashlib import blake2b
from multiprocessing import get_context
from pathlib import Path

import deployments.engine.fake.kv_blocks
import deployments.routing
import loadtest.latency
import loadtest.simulator
import loadtest.traces
from cluster.progress import Progress
from deployments.routing import POLICIES
from loadtest.simulator.cells import Cell, Figures, figures, read_from

RESULTS = "simulations.jsonl"
AHEAD = 2
"""Cells that wait for each process, so that it need not."""

NOT_IN_FIGURES = frozenset({"grid.py", "options.py", "planning.py", "report.py", "summary.py"})
"""Of the simulator's modules: those that choose cells and show figures. Whoever edits them keeps what is finished."""


class Results:
    """A file with a line per finished cell. A cell counts as finished as long as all that its figures follow from is
    the same: the content of its trace's and its fleet's file, and the code of simulator, router and its own policy."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder. A last line that was cut short is left out."""
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / RESULTS
        self._known: dict[str, Figures] = {}
        if self.file.exists():
            self._known.update(_read(self.file))

    def get(self, cell: Cell) -> Figures | None:
        return self._known.get(_key(cell))

    def add(self, cell: Cell, found: Figures) -> None:
        key = _key(cell)
        self._known[key] = found
        line = json.dumps({"key": json.loads(key), "figures": found}, sort_keys=True)
        whole = not self.file.exists() or not self.file.stat().st_size or self.file.read_bytes()[-1:] == b"\n"
        with self.file.open("a", encoding="utf-8") as opened:
            opened.write(line + "\n" if whole else "\n" + line + "\n")


def run_cells(cells: Sequence[Cell], results: Results, jobs: int) -> dict[Cell, Figures]:
    """The figures of all cells, in their order. Raises what `figures` does, and KeyboardInterrupt: what was finished
    by then is kept."""
    missing = [cell for cell in dict.fromkeys(cells) if results.get(cell) is None]
    if missing:
        started = time.monotonic()
        with Progress("simulate", "runs") as progress:
            for done, (cell, computed) in enumerate(_computed(missing, jobs), 1):
                results.add(cell, computed)
                progress.update(len(missing), done, time.monotonic() - started, f"{cell.policy} on {cell.fleet}")
    return {cell: found for cell in cells if (found := results.get(cell)) is not None}


def _computed(cells: Sequence[Cell], jobs: int) -> Iterator[tuple[Cell, Figures]]:
    """As they finish."""
    if jobs == 1 or len(cells) == 1:
        yield from ((cell, figures(cell)) for cell in cells)
        return
    pool = ProcessPoolExecutor(min(jobs, len(cells)), get_context("spawn"), initializer=_leave_interrupts)
    try:
        waiting = iter(cells)
        running: dict[Future[Figures], Cell] = {}
        while True:
            for cell in waiting:
                running[pool.submit(figures, cell)] = cell
                if len(running) >= jobs * AHEAD:
                    break
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:
        _stop(pool)


def _stop(pool: ProcessPoolExecutor) -> None:
    """At once: what is being computed is not waited for."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(5)


def _leave_interrupts() -> None:
    """Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _key(cell: Cell) -> str:
    return json.dumps({**cell.as_dict(), "code": _code(cell.policy), "read": read_from(cell)}, sort_keys=True)


def _read(file: Path) -> Iterator[tuple[str, Figures]]:
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
            yield json.dumps(row["key"], sort_keys=True), row["figures"]
        except (ValueError, KeyError, TypeError):
            continue  # cut short by an end in the middle of writing


@lru_cache
def _code(policy: str) -> str:
    """A digest of the sources that the figures of a policy follow from."""
    digest = blake2b(digest_size=8)
    for file in sorted(_sources(policy)):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _sources(policy: str) -> Iterable[Path]:
    """Other policies' are left out, and what policies share is not."""
    routing, simulator, traces = (
        Path(str(package.__file__)).parent for package in (deployments.routing, loadtest.simulator, loadtest.traces)
    )
    policies = {name: Path(str(sys.modules[made.__module__].__file__)) for name, made in POLICIES.items()}
    not_shared = {routing / "policies" / "__init__.py", *policies.values()}
    yield from routing.glob("*.py")
    yield from (file for file in (routing / "policies").glob("*.py") if file not in not_shared)
    yield from (file for file in simulator.glob("*.py") if file.name not in NOT_IN_FIGURES)
    yield from traces.rglob("*.py")
    yield Path(str(deployments.engine.fake.kv_blocks.__file__))
    yield Path(str(loadtest.latency.__file__))
    if policy in policies:
        yield policies[policy]
