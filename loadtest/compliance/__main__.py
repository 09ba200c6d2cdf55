"""`python -m loadtest.compliance --test TEST01|TEST07|TEST09`: runs a compliance test and verifies its outcome."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cluster.command_line import run as run_command
from cluster.command_line import single
from cluster.option_types import POSITIVE, one_of
from loadtest import arguments as common
from loadtest.arguments import (
    SCENARIOS,
    ForeignLoadArguments,
    LoadGenArguments,
    OptionalBenchmarkName,
    ScenarioName,
    ServerArguments,
)
from loadtest.benchmarks import benchmark as benchmark_named
from loadtest.benchmarks.base import DataError, Mode
from loadtest.command import Refused, leave, outcome
from loadtest.commands import COMPLIANCE
from loadtest.compliance import test01, test07, test09
from loadtest.compliance.audit import AUDITS, Audit
from loadtest.compliance.evidence import PASS, Evidence, Finding, verdict
from loadtest.data.layout import official_file
from loadtest.loadgen.settings import LoadGenError
from loadtest.results import read_summary, write_text
from loadtest.run import run

VERIFICATIONS: dict[str, Callable[[Evidence], Finding]] = {
    "TEST01": test01.verify,
    "TEST07": test07.verify,
    "TEST09": test09.verify,
}


def compliance(
    *,
    test: Annotated[str, one_of(AUDITS), Parameter(help="The compliance test.", metavar="TEST")],
    benchmark: OptionalBenchmarkName = None,
    scenario: ScenarioName = "offline",
    accuracy_run: Annotated[
        Path | None, Parameter(help="Accuracy run of the submission, for TEST01.", metavar="DIR")
    ] = None,
    performance_run: Annotated[
        Path | None, Parameter(help="Performance run of the submission, for TEST01.", metavar="DIR")
    ] = None,
    verify: Annotated[Path | None, Parameter(help="Only verify this finished run of the test.", metavar="DIR")] = None,
    server: ServerArguments = common.SERVER_DEFAULTS,
    loadgen: LoadGenArguments = common.LOADGEN_DEFAULTS,
    target_qps: Annotated[
        float | None,
        POSITIVE,
        Parameter(help="Expected samples/s; in an online scenario, queries/s to issue.", metavar="RATE"),
    ] = None,
    foreign: ForeignLoadArguments = common.FOREIGN_DEFAULTS,
) -> int:
    """0: the test passed; 1: it failed; 2: it could not be run; 130: interrupted."""
    audit = AUDITS[test]

    def passed() -> bool:
        if benchmark not in (None, audit.benchmark):
            raise Refused(f"{audit.name} is a test of {audit.benchmark}, not of {benchmark}")
        if audit is AUDITS["TEST01"] and not (accuracy_run and performance_run):
            raise Refused(
                "TEST01 compares with the submission's runs: give --accuracy-run DIR and --performance-run DIR"
            )
        data = loadgen.data
        if audit.samples is not None and data is not None:
            data = _its_own(audit, data)
        folder = verify
        if folder is None:
            options = common.options_of(
                audit.benchmark,
                SCENARIOS[scenario],
                server,
                replace(loadgen, data=data),
                audit=audit,
                target_qps=target_qps,
                foreign=foreign.load(),
            )
            folder = run(options).folder
        return _verify(audit, folder, data, accuracy_run, performance_run)

    return outcome(passed)


def main(arguments: Sequence[str]) -> int:
    return run_command(single(COMPLIANCE, compliance), arguments)


def _its_own(audit: Audit, data: Path) -> Path:
    """The file of the test's own data set, where a folder is given."""
    try:
        return official_file(data, Mode.PERFORMANCE, audit.name)
    except DataError as error:
        raise Refused(str(error)) from error


def _verify(
    audit: Audit, folder: Path, data: Path | None, accuracy_run: Path | None, performance_run: Path | None
) -> bool:
    try:
        summary = read_summary(folder)
        if summary.get("compliance") != audit.name:
            raise Refused(f"{folder} is no run of {audit.name}; its summary says {summary.get('compliance')}")
        samples = int(summary["data_set"]["samples"])
        dataset = benchmark_named(audit.benchmark).load(data, Mode.PERFORMANCE, samples)
        finding = VERIFICATIONS[audit.name](Evidence(folder, dataset.score, accuracy_run, performance_run))
    except (OSError, ValueError, KeyError, DataError, LoadGenError) as error:
        raise Refused(str(error)) from error
    for name, text in finding.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        write_text(folder / name, text)
        print(f"{name}:\n{text}")
    toy = " (a toy figure)" if summary["data_set"]["embedded"] or summary["label"].startswith("quick") else ""
    print(f"{audit.name}: {verdict(finding.passed).removeprefix(PASS.split()[0]).strip()}{toy}")
    print(f"results: {folder}")
    return finding.passed


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
