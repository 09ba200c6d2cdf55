"""Check of a parquet file of prompts against MLCommons' GPT-OSS sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from loadtest.benchmarks.base import Mode
from loadtest.benchmarks.parquet import read_batches, refuse_pickle
from loadtest.benchmarks.prompt_file import SCHEMA, TOKEN_COLUMNS, missing, token_ids
from loadtest.data.checks.finding import Finding, checksums, columns, equal, none_of
from loadtest.data.layout import GPQA_TEST, official_file
from loadtest.data.official import OFFICIAL, Kind

COLUMNS = ("num_tokens", "ground_truth", "dataset")


def check(path: Path, kind: Kind) -> Iterator[Finding]:
    official = OFFICIAL["gpt-oss"][kind]
    compliance = GPQA_TEST if kind is Kind.COMPLIANCE else None
    file = official_file(path, Mode.ACCURACY if kind is Kind.ACCURACY else Mode.PERFORMANCE, compliance)
    yield Finding("file", str(file))
    refuse_pickle(file)
    yield columns(file, SCHEMA.names, dict.fromkeys(TOKEN_COLUMNS, TOKEN_COLUMNS[0]))
    parts, empty, miscounted, unanswered, rows = Counter[str](), list[str](), list[str](), list[str](), 0
    for batch in read_batches([file], [*TOKEN_COLUMNS, *COLUMNS], [*TOKEN_COLUMNS, "num_tokens"]):
        lengths = [len(ids) for ids in token_ids(file, batch)]
        counts = batch.column("num_tokens").to_pylist() if "num_tokens" in batch.schema.names else lengths
        truths = batch.column("ground_truth").to_pylist()
        parts.update(str(name).lower() for name in batch.column("dataset").to_pylist())
        for number, (length, count, truth) in enumerate(zip(lengths, counts, truths, strict=True), rows):
            empty += [f"row {number}"] * (not length)
            miscounted += [f"row {number} has {length} of {count}"] * (length != count)
            unanswered += [f"row {number}"] * missing(truth)
        rows += batch.num_rows
    yield equal("samples", rows, official.samples)
    yield equal("made of", dict(sorted(parts.items())), dict(official.parts))
    yield none_of("empty prompts", empty)
    yield none_of("prompts with another number of tokens than told", miscounted)
    if kind is not Kind.PERFORMANCE:
        yield none_of("prompts without a right answer", unanswered)
    yield from checksums([file], official.md5)
