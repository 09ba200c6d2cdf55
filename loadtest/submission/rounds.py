"""What the rounds of MLPerf Inference ask of a model, by the submission checker's own tables."""

from __future__ import annotations

from dataclasses import dataclass

from loadtest.benchmarks.base import Scenario
from loadtest.compliance.audit import AUDITS
from loadtest.loadgen.rounds import Round


@dataclass(frozen=True)
class Asked:
    """Of a model in the closed division: each of `required`, and one of `either` where there are any."""

    required: tuple[Scenario, ...]
    either: tuple[Scenario, ...] = ()

    @property
    def known(self) -> tuple[Scenario, ...]:
        return self.required + self.either


_ONLINE = (Scenario.SERVER, Scenario.INTERACTIVE)
ASKED: dict[Round, dict[str, Asked]] = {
    Round.V6_0: {
        "whisper": Asked((Scenario.OFFLINE,)),
        "qwen3-vl": Asked((Scenario.OFFLINE, Scenario.SERVER)),
        "gpt-oss": Asked((Scenario.OFFLINE,), _ONLINE),
    },
    Round.V6_1: {
        "whisper": Asked((Scenario.OFFLINE,)),
        "qwen3-vl": Asked((Scenario.OFFLINE,), _ONLINE),
        "gpt-oss": Asked((Scenario.OFFLINE,), _ONLINE),
    },
}


def compliance_tests(benchmark: str) -> list[str]:
    """Names of the tests that each scenario of a model in the closed division needs."""
    return [audit.name for audit in AUDITS.values() if audit.benchmark == benchmark]
