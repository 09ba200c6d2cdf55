"""TEST01: answers of a performance run are those of the accuracy run, and its speed that of the performance run."""

from __future__ import annotations

from pathlib import Path

from loadtest.accuracy_file import ACCURACY_FILE, accuracy_text, accuracy_words
from loadtest.command import Refused
from loadtest.compliance.evidence import Evidence, Finding, verdict
from loadtest.loadgen.log import find_log, read_accuracy_log, read_values

WORD_ERRORS_WITHIN = 0.01
SPEED_WITHIN = 0.10
SPEED = {"Offline": "result_samples_per_second", "Server": "result_completed_samples_per_sec"}
WITHIN = ("accuracy/baseline_accuracy.txt", "accuracy/compliance_accuracy.txt")
ACCURACY = f"accuracy/{ACCURACY_FILE}"
"""The checker opens the two, and wants this third one beside them and none but the log besides."""
BENCHMARK = "whisper"


def verify(evidence: Evidence) -> Finding:
    """Bit-identical answers, or, since batching changes sums, accuracies within 1 % of one another (TEST01's rule for
    submissions that are not deterministic); and samples/s within 10 %."""
    if evidence.accuracy is None or evidence.performance is None:
        raise Refused("TEST01 compares with the submission's runs: give --accuracy-run DIR and --performance-run DIR")
    same, accuracy_files = _accuracy(evidence, evidence.accuracy)
    fast, performance_text = _performance(evidence.run, evidence.performance)
    return Finding(same and fast, {**accuracy_files, "verify_performance.txt": performance_text})


def _accuracy(evidence: Evidence, accuracy: Path) -> tuple[bool, dict[str, str]]:
    baseline = dict(read_accuracy_log(find_log(accuracy, "accuracy.json")))
    log = find_log(evidence.run, "accuracy.json")
    logged = read_accuracy_log(log)
    known = [(index, data) for index, data in logged if index in baseline]
    differing = sum(baseline[index] != data for index, data in known)
    exact = bool(known) and not differing
    text = (
        f"entries of the accuracy run: {len(baseline)}\n"
        f"entries of this run: {len(logged)}, of them known: {len(known)}\n"
        f"entries that differ: {differing}\n{verdict(exact)}\n"
    )
    if exact or not known:
        return exact, {"verify_accuracy.txt": text}
    answers = dict(known)
    scores = [evidence.score({index: baseline[index] for index in answers}), evidence.score(answers)]
    values = [score.value or 0.0 for score in scores]
    close = abs(values[0] - values[1]) <= WORD_ERRORS_WITHIN * values[1]  # the checker divides by this run's
    text += (
        "Answers of a fleet depend on which requests share a batch. Accuracies over the same samples:\n"
        f"{values[0]:.4f} in the accuracy run, {values[1]:.4f} in this run: "
        f"{'within' if close else 'not within'} {WORD_ERRORS_WITHIN:.0%}\n"
    )
    files = {name: accuracy_words(BENCHMARK, score) + "\n" for name, score in zip(WITHIN, scores, strict=True)}
    return close, {"verify_accuracy.txt": text, **files, ACCURACY: accuracy_text(BENCHMARK, scores[1], log)}


def _performance(run: Path, performance: Path) -> tuple[bool, str]:
    reference, test = (read_values(find_log(folder, "detail.txt")) for folder in (performance, run))
    scenario = reference.get("effective_scenario")
    if test.get("effective_scenario") != scenario or scenario not in SPEED:
        return False, f"the runs are of different scenarios\n{verdict(False)}\n"
    invalid = [name for name, log in (("reference", reference), ("test", test)) if log["result_validity"] != "VALID"]
    if invalid:
        return False, f"INVALID: the {' and the '.join(invalid)} run\n{verdict(False)}\n"
    speeds = [float(log[SPEED[scenario]]) for log in (reference, test)]
    close = abs(speeds[0] - speeds[1]) <= SPEED_WITHIN * speeds[0]
    return close, f"Reference score = {speeds[0]}\nTest score = {speeds[1]}\n{verdict(close)}\n"
