"""`python -m loadtest.compliance --test TEST01|TEST07|TEST09`: runs a compliance test and verifies its outcome."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from loadtest.arguments import Arguments, add_pullers
from loadtest.benchmarks import benchmark
from loadtest.benchmarks.base import DataError, Mode
from loadtest.command import Refused, leave, outcome
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


def main(arguments: list[str]) -> int:
    """0: the test passed; 1: it failed; 2: it could not be run; 130: interrupted."""
    parser = Arguments(
        "python -m loadtest.compliance",
        "A compliance test of MLPerf: TEST01 for Whisper, TEST07 and TEST09 for GPT-OSS. Runs the benchmark as its "
        "audit.config asks and writes the verification files into the run's folder.",
    )
    parser.add_argument("--test", required=True, choices=list(AUDITS))
    parser.add_scenario()
    parser.add_argument("--accuracy-run", type=Path, metavar="DIR", help="the submission's accuracy run (TEST01)")
    parser.add_argument("--performance-run", type=Path, metavar="DIR", help="its performance run (TEST01)")
    parser.add_argument("--verify", type=Path, metavar="DIR", help="only verify this finished run of the test")
    parser.add_test(required=False, modes=False)
    parser.add_target_qps("samples/s you expect; queries/s to issue in an online scenario")
    add_pullers(parser)
    given = parser.parse_args(arguments)
    return outcome(lambda: _run(parser, given))


def _run(parser: Arguments, given: argparse.Namespace) -> bool:
    audit = AUDITS[given.test]
    given.benchmark = given.benchmark or audit.benchmark
    if given.benchmark != audit.benchmark:
        raise Refused(f"{audit.name} is a test of {audit.benchmark}, not of {given.benchmark}")
    if audit is AUDITS["TEST01"] and not (given.accuracy_run and given.performance_run):
        raise Refused("TEST01 compares with the submission's runs: give --accuracy-run DIR and --performance-run DIR")
    if audit.samples is not None and given.data is not None:
        given.data = _its_own(audit, given.data)
    folder = given.verify
    if folder is None:
        folder = run(parser.options(given, audit=audit)).folder
    return _verify(audit, folder, given)


def _its_own(audit: Audit, data: Path) -> Path:
    """The file of the test's own data set, where a folder is given."""
    try:
        return official_file(data, Mode.PERFORMANCE, audit.name)
    except DataError as error:
        raise Refused(str(error)) from error


def _verify(audit: Audit, folder: Path, given: argparse.Namespace) -> bool:
    try:
        summary = read_summary(folder)
        if summary.get("compliance") != audit.name:
            raise Refused(f"{folder} is no run of {audit.name}; its summary says {summary.get('compliance')}")
        samples = int(summary["data_set"]["samples"])
        dataset = benchmark(audit.benchmark).load(given.data, Mode.PERFORMANCE, samples)
        finding = VERIFICATIONS[audit.name](Evidence(folder, dataset.score, given.accuracy_run, given.performance_run))
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
