"""Which file of MLCommons' GPT-OSS download a test asks from."""

from __future__ import annotations

from pathlib import Path

from loadtest.benchmarks.base import DataError, Mode
from loadtest.benchmarks.parquet import PICKLE_ENDINGS, refuse_pickle
from loadtest.data.official import OFFICIAL, Kind, how_to_get

GPQA_TEST = "TEST07"


def official_file(path: Path, mode: Mode, compliance: str | None = None) -> Path:
    """The parquet file for a mode, or for a compliance test: `path` itself where it is a file.

    In a folder it is that of MLCommons' download, there or one level below; else the only parquet file there is.

    Raises DataError where it holds none of these, or more than one.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise DataError(f"{path}: no such parquet file or folder. {how_to_get('gpt-oss')}")
    kind = Kind.COMPLIANCE if compliance == GPQA_TEST else Kind(mode.value)
    wanted = Path(OFFICIAL["gpt-oss"][kind].file)
    for pattern in (wanted, wanted.name, Path("*") / wanted):
        found = sorted(path.glob(str(pattern)))
        if len(found) > 1:
            raise DataError(f"{path}: holds several: {', '.join(map(str, found))}; name the one that is meant")
        if found:
            return found[0]
    others = sorted(path.glob("*.parquet"))
    if len(others) == 1:
        return others[0]
    for file in sorted(path.rglob(f"{wanted.stem}.*")):
        if file.suffix in PICKLE_ENDINGS:
            refuse_pickle(file)
    there = f"several others: {', '.join(file.name for file in others)}" if others else "no parquet file at all"
    raise DataError(f"{path}: no {wanted} in it, but {there}. {how_to_get('gpt-oss', kind)}")
