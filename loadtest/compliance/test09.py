"""TEST09: answers of a performance run are as long as the reference's, on average."""

from __future__ import annotations

import statistics

from loadtest.benchmarks.gpt_oss import decode_tokens
from loadtest.command import Refused
from loadtest.compliance.audit import TEST09
from loadtest.compliance.evidence import Evidence, Finding, verdict
from loadtest.loadgen.log import find_log, read_accuracy_log


def verify(evidence: Evidence) -> Finding:
    lengths = [len(decode_tokens(data)) for _, data in read_accuracy_log(find_log(evidence.run, "accuracy.json"))]
    if not lengths:
        raise Refused(f"{evidence.run}: LoadGen logged no answers; was it a TEST09 run?")
    mean = statistics.fmean(lengths)
    least, most = TEST09.thresholds["test09_min_output_tokens"], TEST09.thresholds["test09_max_output_tokens"]
    passed = least <= mean <= most
    text = (
        f"Total samples: {len(lengths)}\nMean output tokens: {mean:.2f}\nMin output tokens: {min(lengths)}\n"
        f"Max output tokens: {max(lengths)}\nStd deviation: {statistics.pstdev(lengths):.2f}\n"
        f"Min threshold: {least}\nMax threshold: {most}\n"
        f"Min check pass: {mean >= least}\nMax check pass: {mean <= most}\n"
        f"{verdict(passed)}\n"
    )
    return Finding(passed, {"verify_output_len.txt": text})
