"""TEST07: the accuracy of a performance run over a data set of its own is at least the threshold."""

from __future__ import annotations

from loadtest.accuracy_file import accuracy_words
from loadtest.command import Refused
from loadtest.compliance.audit import TEST07
from loadtest.compliance.evidence import Evidence, Finding, verdict
from loadtest.loadgen.log import find_log, read_accuracy_log


def verify(evidence: Evidence) -> Finding:
    answers = dict(read_accuracy_log(find_log(evidence.run, "accuracy.json")))
    score = evidence.score(answers)
    if score.value is None:
        raise Refused(f"TEST07 cannot be scored: {score.detail}")
    threshold = TEST07.thresholds["test07_accuracy_threshold"]
    passed = score.value >= threshold
    text = (
        f"{accuracy_words('gpt-oss', score)}\nsamples: {len(answers)}\nAccuracy score: {score.value}\n"
        f"Accuracy threshold: {threshold}\nAccuracy check pass: {passed}\n{verdict(passed)}\n"
    )
    return Finding(passed, {"verify_accuracy.txt": text})
