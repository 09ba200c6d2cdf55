"""What keeps runs out of a submission. Stricter than MLCommons' checker, which looks at less than its rules ask for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cluster.checkpoints.pinned import sha256_of
from loadtest.accuracy_file import ACCURACY_FILE
from loadtest.benchmarks.base import Mode, Scenario
from loadtest.compliance import test01
from loadtest.compliance.evidence import PASS
from loadtest.endpoint import CACHES_OFF
from loadtest.loadgen.rounds import Round
from loadtest.loadgen.settings import MIN_DURATION_MS, official_settings
from loadtest.submission.rounds import ASKED, compliance_tests
from loadtest.submission.runs import Entry, Run

VERIFICATION_FILES = {
    "TEST01": ("verify_accuracy.txt", "verify_performance.txt"),
    "TEST07": ("verify_accuracy.txt",),
    "TEST09": ("verify_output_len.txt",),
}
TEST01_WITHIN = (*test01.WITHIN, test01.ACCURACY)
NS_PER_MS = 1e6


class Division(StrEnum):
    """Closed: the reference's model and rules. Open: anything that is said."""

    CLOSED = "closed"
    OPEN = "open"


@dataclass(frozen=True)
class Objection:
    """Why something cannot be submitted."""

    about: str
    reason: str

    def __str__(self) -> str:
        return f"{self.about}: {self.reason}"


def objections(entries: Sequence[Entry], division: Division, named: Round) -> list[Objection]:
    """All of them, in the order of the entries."""
    found: list[Objection] = []
    for entry in entries:
        for run in entry.runs:
            found += (Objection(str(run), reason) for reason in _of_run(run, division, named))
        found += (Objection(str(entry), reason) for reason in _of_entry(entry, division, named))
    if division is Division.CLOSED:
        found += _missing_scenarios(entries, named)
    return found


def _of_run(run: Run, division: Division, named: Round) -> Iterator[str]:
    summary, plan = run.summary, run.plan
    if summary["state"] != "complete":
        yield f"it is {summary['state']}, not complete"
    if run.quick:
        yield "a quick run"
    if summary.get("verdict") != "VALID" or run.values.get("result_validity", "VALID") != "VALID":
        yield f"{summary.get('verdict', 'no verdict')}: {'; '.join(summary.get('reasons', [])) or 'see its logs'}"
    for entry in run.entries:
        if entry["metadata"].get("is_error"):
            yield f"LoadGen error in its log: {entry['value']}"
    if plan.round is not named:
        yield f"it was run by the rules of {plan.round}, this is {named}"
    if not run.quick:  # which says as much
        yield from _wrong_settings(run)
        if not plan.is_official_size:
            yield f"{plan.samples} samples instead of {plan.official_samples}"
    yield from (f"unofficial: {told}" for told in summary.get("unofficial", ()))
    if summary["data_set"]["embedded"]:
        yield "the embedded data set is a toy"
    yield from _of_fleet(run, division)


def _wrong_settings(run: Run) -> Iterator[str]:
    for key, wanted in official_settings(run.plan).items():
        if (told := run.values.get(f"effective_{key}")) != wanted:
            yield f"LoadGen ran with {key} {told} instead of {wanted}"
    # Offline issues everything at once: its one query lasts as long as its last sample.
    lasted_ns = max(run.values.get("generated_query_duration", 0), _last_sample_ns(run))
    if run.mode is Mode.PERFORMANCE and not run.compliance and lasted_ns < MIN_DURATION_MS * NS_PER_MS:
        yield f"it lasted {lasted_ns / 1e9:.0f} s instead of {MIN_DURATION_MS / 1000:.0f}"


def _last_sample_ns(run: Run) -> int:
    return int(run.values.get("result_max_latency_ns", 0)) if run.scenario is Scenario.OFFLINE else 0


def _of_fleet(run: Run, division: Division) -> Iterator[str]:
    summary, official = run.summary, run.official
    if summary["caches"] != CACHES_OFF:
        yield f"caches are {summary['caches']}: MLPerf forbids reuse between queries, and every replica must prove it"
    if not run.replicas:
        yield "it is not known which replicas served it: an endpoint of others"
    if fakes := [replica["replica"] for replica in run.replicas if replica["engine"] == "fake"]:
        yield f"{len(fakes)} replicas are fake engines"
    if division is Division.CLOSED:
        if (summary["checkpoint"], summary["revision"]) != (official.checkpoint, official.revision):
            yield (
                f"checkpoint {summary['checkpoint']} at {summary['revision']} instead of {official.checkpoint} at "
                f"{official.revision}"
            )
        yield from (f"deviation: {told}" for told in summary.get("deviations", ()))


def _of_entry(entry: Entry, division: Division, named: Round) -> Iterator[str]:
    asked = ASKED[named].get(entry.benchmark)
    if asked is None or entry.scenario not in asked.known:
        yield f"{named} has no such scenario"
    kinds = Counter(run.kind for run in entry.runs)
    wanted: list[str] = [Mode.PERFORMANCE, Mode.ACCURACY]
    wanted += compliance_tests(entry.benchmark) if division is Division.CLOSED else []
    for kind in wanted:
        if not kinds[kind]:
            yield f"no {kind} run"
    yield from (f"{count} {kind} runs; give the one to be submitted" for kind, count in kinds.items() if count > 1)
    if len({repr(run.fleet) for run in entry.runs}) > 1:
        yield f"its runs come from different fleets or weights: {', '.join(map(str, entry.runs))}"
    if (accuracy := entry.of(Mode.ACCURACY)) is not None:
        yield from _of_accuracy(accuracy, division)
    for run in entry.runs:
        if run.compliance is not None:
            yield from _of_compliance(run)


def _of_accuracy(run: Run, division: Division) -> Iterator[str]:
    file, accuracy = run.folder / ACCURACY_FILE, run.summary.get("accuracy") or {}
    threshold = run.official.accuracy(run.scenario).threshold
    value = accuracy.get("value")
    if value is None or not file.is_file():
        yield f"{run} has no {ACCURACY_FILE}; mixfleet accuracy {run.folder} writes it"
        return
    if division is Division.CLOSED and value < threshold:
        yield f"accuracy {value:.4f} is below {threshold:g}"
    told = re.search(r"^hash=([0-9a-f]{64})$", file.read_text(encoding="utf-8"), re.MULTILINE)
    if told is None or told[1] != sha256_of(run.log("accuracy.json")):
        yield f"{ACCURACY_FILE} of {run} is not of its log; score it anew"


def _of_compliance(run: Run) -> Iterator[str]:
    assert run.compliance is not None
    for name in VERIFICATION_FILES[run.compliance]:
        file = run.folder / name
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        within = name == "verify_accuracy.txt" and all((run.folder / other).is_file() for other in TEST01_WITHIN)
        if PASS not in text and not (within and "not within" not in text):
            yield f"{run.compliance} did not pass: {name} {'says so' if text else 'is missing'}"


def _missing_scenarios(entries: Iterable[Entry], named: Round) -> Iterator[Objection]:
    there: dict[str, set[str]] = {}
    for entry in entries:
        there.setdefault(entry.benchmark, set()).add(entry.scenario)
    for name, scenarios in there.items():
        asked = ASKED[named].get(name)
        if asked is None:
            continue
        for scenario in asked.required:
            if scenario not in scenarios:
                yield Objection(name, f"{named} asks for {scenario} too")
        if asked.either and not scenarios & set(asked.either):
            yield Objection(name, f"{named} asks for {' or '.join(asked.either)} too")
