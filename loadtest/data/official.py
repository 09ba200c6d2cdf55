"""MLCommons' data sets: how many samples each has, what it is made of, how it is had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

R2_DOWNLOADER = "https://raw.githubusercontent.com/mlcommons/r2-downloader/refs/heads/main/mlc-r2-downloader.sh"
R2_STORE = "https://inference.mlcommons-storage.org/metadata"


class Kind(StrEnum):
    """What a data set is for."""

    PERFORMANCE = "performance"
    ACCURACY = "accuracy"
    COMPLIANCE = "compliance"
    INTERACTIVE = "interactive"


@dataclass(frozen=True)
class OfficialSet:
    """One data set.

    Attributes:
        get: commands that fetch it.
        parts: rows by the name of the data set that they come from, where they come from several.
        file: its place in the download; "" where it is more than one file.
        md5: of the file, where it is known.
        revision: the hub commit that the rules name.
    """

    samples: int
    get: str
    parts: Mapping[str, int] = field(default_factory=dict)
    file: str = ""
    md5: str | None = None
    revision: str | None = None


def _from_r2(name: str, folder: str) -> str:
    return f"bash <(curl -s {R2_DOWNLOADER}) -d {folder} {R2_STORE}/{name}.uri"


def _from_hub(repository: str, revision: str) -> str:
    folder = repository.rpartition("/")[2]
    return f"hf download {repository} --repo-type dataset --revision {revision} --local-dir {folder}"


_PROMPTS = _from_r2("gpt-oss-data", "gpt-oss-data")
_SPEECH = (
    _from_r2("whisper-dataset", "whisper-data")
    + "\nor dev-clean.tar.gz and dev-other.tar.gz from https://www.openslr.org/12, unpacked, then\n"
    "mixfleet data repack-librispeech LibriSpeech whisper-data"
)
_CATALOGUE, _CATALOGUE_8K = "d5c517c509f5aca99053897ef1de797d6d7e5aa5", "2bc8c6c4b6ebd27b880b0cba519cb45d09867045"

OFFICIAL: Mapping[str, Mapping[Kind, OfficialSet]] = {
    "gpt-oss": {
        Kind.PERFORMANCE: OfficialSet(
            6396,
            _PROMPTS,
            {"pubmed_summarization": 6396},
            "perf/perf_eval_ref.parquet",
            md5="e4cd6cef6dd975f3e50c85b3279b358b",
        ),
        Kind.ACCURACY: OfficialSet(
            4395,
            _PROMPTS,
            {"aime25": 240, "gpqa_diamond": 990, "livecodebench_v6": 3165},
            "acc/acc_eval_ref.parquet",
            md5="29d35424fc8d31461e73a7766446480e",
        ),
        Kind.COMPLIANCE: OfficialSet(990, _PROMPTS, {"gpqa_diamond": 990}, "acc/acc_eval_compliance_gpqa.parquet"),
    },
    "whisper": {Kind.PERFORMANCE: OfficialSet(1633, _SPEECH)},
    "qwen3-vl": {
        Kind.PERFORMANCE: OfficialSet(48_289, _from_hub("Shopify/product-catalogue", _CATALOGUE), revision=_CATALOGUE),
        Kind.INTERACTIVE: OfficialSet(
            8000, _from_hub("nvidia/Shopify-product-catalogue-8k", _CATALOGUE_8K), revision=_CATALOGUE_8K
        ),
    },
}
"""Whisper and Qwen3-VL are scored on the set that they are measured on. Counts and revisions: mlcommons/inference, the
README of each model. MD5s: as users of MLCommons' storage have published them; its own list comes with a download."""


def how_to_get(benchmark: str, kind: Kind = Kind.PERFORMANCE) -> str:
    """Advice for the end of an error message."""
    return "To get it:\n" + "\n".join(f"  {line}" for line in OFFICIAL[benchmark][kind].get.splitlines())
