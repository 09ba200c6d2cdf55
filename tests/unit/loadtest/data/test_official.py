from __future__ import annotations

from loadtest.benchmarks import BENCHMARKS, benchmark
from loadtest.benchmarks.base import Mode, Scenario
from loadtest.benchmarks.scoring.exact_match import REPEATS
from loadtest.compliance.audit import AUDITS
from loadtest.data.checks import CHECKS
from loadtest.data.official import OFFICIAL, Kind, how_to_get
from loadtest.data.small import SMALL


def test_counts_are_those_of_the_benchmarks_and_audits() -> None:
    assert set(OFFICIAL) == set(BENCHMARKS) == set(CHECKS) == set(SMALL)
    for name, sets in OFFICIAL.items():
        official = benchmark(name).official
        assert sets[Kind.PERFORMANCE].samples == official.samples(Mode.PERFORMANCE)
        assert sets.get(Kind.ACCURACY, sets[Kind.PERFORMANCE]).samples == official.samples(Mode.ACCURACY)
        if official.interactive is not None:
            assert sets[Kind.INTERACTIVE].samples == official.samples(Mode.PERFORMANCE, Scenario.INTERACTIVE)
    assert OFFICIAL["gpt-oss"][Kind.COMPLIANCE].samples == AUDITS["TEST07"].samples


def test_parts_add_up_and_hold_whole_repeats() -> None:
    for sets in OFFICIAL.values():
        for official in sets.values():
            assert not official.parts or sum(official.parts.values()) == official.samples
            assert all(rows % REPEATS.get(part, 1) == 0 for part, rows in official.parts.items())
    accuracy = OFFICIAL["gpt-oss"][Kind.ACCURACY].parts
    assert {part: rows // REPEATS[part] for part, rows in accuracy.items()} == {
        "aime25": 30,
        "gpqa_diamond": 198,
        "livecodebench_v6": 1055,
    }


def test_advice_names_the_source() -> None:
    assert (
        "mlc-r2-downloader.sh) -d gpt-oss-data https://inference.mlcommons-storage.org/metadata/gpt-oss-data.uri"
        in (how_to_get("gpt-oss"))
    )
    assert "openslr.org/12" in how_to_get("whisper")
    interactive = how_to_get("qwen3-vl", Kind.INTERACTIVE)
    assert "hf download nvidia/Shopify-product-catalogue-8k --repo-type dataset" in interactive
    assert "--revision 2bc8c6c4b6ebd27b880b0cba519cb45d09867045" in interactive
