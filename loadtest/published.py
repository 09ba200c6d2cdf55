"""Published MLPerf Inference results of these models, per system: what a run of one's own stands beside.

From MLCommons' tables of v6.0 and v6.1 (results of Red Hat, Supermicro and Red Hat, AMD, NVIDIA, Nebius, Cisco, Google,
Supermicro, Dell). A value is that of the whole system.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """`value` in `unit`, of `count` accelerators together."""

    round: str
    submitter: str
    accelerator: str
    count: int
    benchmark: str
    scenario: str
    value: float
    unit: str
    division: str = "closed"

    @property
    def per_accelerator(self) -> float:
        return self.value / self.count


TOKENS, SAMPLES, QUERIES = "tokens/s", "samples/s", "queries/s"


def _rows(named: str, benchmark: str, scenario: str, unit: str, *rows: tuple[str, str, int, float]) -> list[Published]:
    return [Published(named, who, what, count, benchmark, scenario, value, unit) for who, what, count, value in rows]


PUBLISHED: Sequence[Published] = [
    *_rows(
        *("v6.0", "whisper", "Offline", TOKENS),
        ("Red Hat", "h200", 8, 36_395.7),
        ("Red Hat", "l40s", 2, 3_646.91),
        ("Supermicro", "b300", 8, 50_562),
        ("Google", "b200", 8, 49_327),
    ),
    *_rows(
        *("v6.0", "qwen3-vl", "Offline", SAMPLES),
        ("Red Hat", "h200", 8, 18.22),
        ("Red Hat", "b200", 8, 79.04),
        ("Nebius", "b300", 8, 78.28),
        ("NVIDIA", "gb300", 4, 61.24),
    ),
    *_rows(
        *("v6.0", "qwen3-vl", "Server", QUERIES),
        ("Red Hat", "h200", 8, 11.05),
        ("Red Hat", "b200", 8, 67.86),
        ("Nebius", "b300", 8, 45.15),
        ("NVIDIA", "gb300", 4, 41.64),
    ),
    *_rows(
        *("v6.0", "gpt-oss", "Offline", TOKENS),
        ("Red Hat", "h200", 8, 28_680.0),
        ("Red Hat", "b200", 8, 93_070.7),
        ("Cisco", "b300", 8, 111_496),
        ("AMD", "mi355x", 8, 95_004),
        ("NVIDIA", "gb300", 72, 1_042_980),
    ),
    Published("v6.0", "Supermicro and Red Hat", "mi350x", 8, "gpt-oss", "Offline", 64_293.3, TOKENS, division="open"),
    *_rows(
        *("v6.0", "gpt-oss", "Server", TOKENS),
        ("Red Hat", "h200", 8, 24_103.2),
        ("Red Hat", "b200", 8, 71_588.1),
        ("Nebius", "b200", 8, 87_444),
        ("Cisco", "b300", 8, 110_655),
        ("AMD", "mi355x", 8, 82_136),
        ("NVIDIA", "gb300", 72, 1_072_250),
    ),
    Published("v6.0", "Supermicro and Red Hat", "mi350x", 8, "gpt-oss", "Server", 58_373.3, TOKENS, division="open"),
    *_rows(
        *("v6.0", "gpt-oss", "Interactive", TOKENS),
        ("Nebius", "b200", 8, 13_155),
        ("ASUSTeK", "b300", 8, 26_006),
        ("NVIDIA", "gb300", 72, 677_199),
    ),
    *_rows(
        "v6.1", "gpt-oss", "Offline", TOKENS, ("AMD", "mi355x", 8, 121_818), ("Cisco", "h200 + mi350x", 16, 94_249.3)
    ),
    *_rows(
        "v6.1", "gpt-oss", "Server", TOKENS, ("AMD", "mi355x", 8, 113_241), ("Cisco", "h200 + mi350x", 16, 73_357.6)
    ),
]
