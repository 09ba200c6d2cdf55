"""Published MLPerf Inference results of these models, per system: what a run of one's own stands beside.

From MLCommons' tables of v6.0 and v6.1. A value is that of the whole system. Left out are results whose number of
accelerators, or whose submitter, is not known here, and systems without accelerators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

UNITS = {
    ("whisper", "Offline"): "tokens/s",
    ("qwen3-vl", "Offline"): "samples/s",
    ("qwen3-vl", "Server"): "queries/s",
    ("gpt-oss", "Offline"): "tokens/s",
    ("gpt-oss", "Server"): "tokens/s",
    ("gpt-oss", "Interactive"): "tokens/s",
}


@dataclass(frozen=True)
class Published:
    """`value` in `unit` of all `accelerators` together (name, as fleet files have it -> how many).

    `source`: the result's number in MLCommons' table, or '' where only its row there is known.
    """

    round: str
    source: str
    submitter: str
    accelerators: Mapping[str, int]
    benchmark: str
    scenario: str
    value: float
    division: str = "closed"

    @property
    def unit(self) -> str:
        return UNITS[self.benchmark, self.scenario]

    @property
    def per_accelerator(self) -> float:
        return self.value / sum(self.accelerators.values())


def _v60(
    benchmark: str, scenario: str, *rows: tuple[str, str, str, int, float], division: str = "closed"
) -> list[Published]:
    return [
        Published("v6.0", id_, who, {what: n}, benchmark, scenario, value, division)
        for id_, who, what, n, value in rows
    ]


def _v61(benchmark: str, scenario: str, *rows: tuple[str, Mapping[str, int], float]) -> list[Published]:
    return [Published("v6.1", "", who, what, benchmark, scenario, value) for who, what, value in rows]


PUBLISHED: Sequence[Published] = [
    *_v60(
        *("whisper", "Offline"),
        ("6.0-0093", "Red Hat", "h200", 8, 36_395.7),
        ("6.0-0090", "Red Hat", "l40s", 2, 3_646.91),
        ("", "Supermicro", "b300", 8, 50_562),
        ("", "Google", "b200", 8, 49_327),
        ("", "NVIDIA", "b200", 8, 47_434),
        ("", "Dell", "h200-nvl", 8, 31_969),
        ("", "Google", "gb200", 4, 22_051),
    ),
    *_v60(
        *("qwen3-vl", "Offline"),
        ("6.0-0095", "Red Hat", "h200", 8, 18.22),
        ("6.0-0094", "Red Hat", "b200", 8, 79.04),
        ("", "Nebius", "b300", 8, 78.28),
        ("", "NVIDIA", "gb300", 4, 61.24),
        ("", "Nebius", "gb300", 4, 60.62),
        ("", "NVIDIA", "gb200", 4, 43.77),
        ("", "Google", "gb200", 4, 42.47),
    ),
    *_v60(
        *("qwen3-vl", "Server"),
        ("6.0-0095", "Red Hat", "h200", 8, 11.05),
        ("6.0-0094", "Red Hat", "b200", 8, 67.86),
        ("", "Nebius", "b300", 8, 45.15),
        ("", "Nebius", "gb300", 4, 43.15),
        ("", "NVIDIA", "gb300", 4, 41.64),
        ("", "NVIDIA", "gb200", 4, 38.03),
    ),
    *_v60(
        *("gpt-oss", "Offline"),
        ("6.0-0092", "Red Hat", "h200", 8, 28_680.0),
        ("6.0-0091", "Red Hat", "b200", 8, 93_070.7),
        ("", "Nebius", "b200", 8, 85_921),
        ("", "Cisco", "b300", 8, 111_496),
        ("", "ASUSTeK", "b300", 8, 110_077),
        ("", "NVIDIA", "b300", 8, 103_961),
        ("", "AMD", "mi355x", 8, 95_004),
        ("", "GigaComputing", "mi355x", 8, 92_332),
        ("", "HPE", "mi355x", 8, 91_847),
        ("", "Oracle", "mi355x", 8, 91_706),
        ("", "Dell", "mi355x", 8, 91_396),
        ("", "AMD", "mi355x", 94, 1_031_070),
        ("", "Nebius", "gb300", 72, 1_046_150),
        ("", "NVIDIA", "gb300", 72, 1_042_980),
        ("", "CoreWeave", "gb300", 64, 910_468),
        ("", "NVIDIA", "gb200", 72, 879_542),
        ("", "HPE", "rtx-pro-6000", 10, 19_041),
        ("", "HPE", "rtx-pro-6000", 8, 15_190),
        ("", "HPE", "rtx-pro-6000", 4, 7_297),
    ),
    *_v60(
        *("gpt-oss", "Server"),
        ("6.0-0092", "Red Hat", "h200", 8, 24_103.2),
        ("6.0-0091", "Red Hat", "b200", 8, 71_588.1),
        ("", "Nebius", "b200", 8, 87_444),
        ("", "Cisco", "b300", 8, 110_655),
        ("", "NVIDIA", "b300", 8, 100_328),
        ("", "AMD", "mi355x", 8, 82_136),
        ("", "GigaComputing", "mi355x", 8, 80_090),
        ("", "Dell", "mi355x", 8, 78_604),
        ("", "Oracle", "mi355x", 8, 78_186),
        ("", "HPE", "mi355x", 8, 75_355),
        ("", "AMD", "mi355x", 94, 900_054),
        ("", "Nebius", "gb300", 72, 1_096_770),
        ("", "NVIDIA", "gb300", 72, 1_072_250),
        ("", "HPE", "rtx-pro-6000", 8, 14_259),
    ),
    *_v60(
        *("gpt-oss", "Interactive"),
        ("", "NVIDIA", "gb300", 72, 677_199),
        ("", "ASUSTeK", "b300", 8, 26_006),
        ("", "Nebius", "b200", 8, 13_155),
    ),
    *_v60("gpt-oss", "Offline", ("6.0-0112", "Supermicro and Red Hat", "mi350x", 8, 64_293.3), division="open"),
    *_v60("gpt-oss", "Server", ("6.0-0112", "Supermicro and Red Hat", "mi350x", 8, 58_373.3), division="open"),
    *_v61("whisper", "Offline", ("QCT", {"b300": 8}, 45_408)),
    *_v61("qwen3-vl", "Offline", ("QCT", {"b300": 8}, 131.8), ("Red Hat and Supermicro", {"gb200": 4}, 58.08)),
    *_v61("qwen3-vl", "Server", ("QCT", {"b300": 8}, 104.8), ("Red Hat and Supermicro", {"gb200": 4}, 50.68)),
    *_v61(
        *("gpt-oss", "Offline"),
        ("AMD", {"mi355x": 8}, 121_818),
        ("Red Hat and Supermicro", {"gb200": 4}, 61_205.6),
        ("Cisco", {"h200": 8, "mi350x": 8}, 94_249.3),
    ),
    *_v61(
        *("gpt-oss", "Server"),
        ("AMD", {"mi355x": 8}, 113_241),
        ("Red Hat and Supermicro", {"gb200": 4}, 51_095.2),
        ("Cisco", {"h200": 8, "mi350x": 8}, 73_357.6),
    ),
]
