"""The cache of prepared checkpoints: each is built once, whoever asks and however many ask at once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from cluster.cache_folder import project_cache
from cluster.checkpoints.errors import CheckpointError, SourceUnavailable
from cluster.checkpoints.manifest import Manifest, flaw
from cluster.checkpoints.progress import Progress
from cluster.checkpoints.recipe import Recipe
from cluster.durable import flush, flush_all


def default_cache() -> Path:
    """`mixfleet/checkpoints` in the user's cache folder (XDG_CACHE_HOME, else ~/.cache)."""
    return project_cache() / "checkpoints"


def prepare(recipe: Recipe, cache: Path, report: Progress, verify: bool = False) -> Path:
    """The folder of a prepared checkpoint, built first where it is missing or damaged.

    A folder appears under its own name only when it is complete: it is built beside it, flushed to disk and renamed.
    Safe in several processes and threads at once. Raises CheckpointError.
    """
    folder = cache / recipe.folder
    if flaw(folder, verify) is None:
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _only_one(cache / f".{recipe.folder}.lock", recipe.name, report):
            if (found := flaw(folder, verify)) is None:
                return folder
            if folder.exists():
                report.step(f"{recipe.name}: the copy in {folder} is damaged ({found}), preparing it again")
            _build(recipe, folder, report)
    except OSError as error:
        raise CheckpointError(
            f"checkpoint '{recipe.name}' cannot be kept in {cache}: {error}. "
            "Free some space there or set the fleet's `checkpoint_cache` to another folder"
        ) from error
    return folder


def _build(recipe: Recipe, folder: Path, report: Progress) -> None:
    building = folder.with_name(f".{folder.name}.building")
    downloads = folder.with_name(f".{folder.name}.downloads")
    downloads.mkdir(exist_ok=True)
    refusals: list[str] = []
    for variant in recipe.variants:
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        label = variant.source.label
        try:
            files = variant.source.fetch(downloads, report)
            report.step(f"{recipe.name}: preparing from {label}")
            variant.build_function()(files, building, report)
        except SourceUnavailable as refusal:
            report.step(f"{recipe.name}: not from {label}: {refusal}")
            refusals.append(f"  {label}: {refusal}")
            continue
        Manifest.of(building, recipe.name, label).write(building)
        flush_all(building)
        _put_in_place(building, folder)
        shutil.rmtree(downloads, ignore_errors=True)
        report.step(f"{recipe.name}: ready in {folder}")
        return
    shutil.rmtree(building, ignore_errors=True)
    reasons = "\n".join(refusals)
    raise CheckpointError(
        f"checkpoint '{recipe.name}' cannot be had from any of its sources:\n{reasons}\n"
        "Make one of them reachable, or name a local folder as the model's `checkpoint`"
    )


def _put_in_place(building: Path, folder: Path) -> None:
    if folder.exists():
        # Renamed away rather than removed: an engine that has its files open keeps them.
        damaged = folder.with_name(f".{folder.name}.damaged")
        shutil.rmtree(damaged, ignore_errors=True)
        folder.rename(damaged)
        building.rename(folder)
        shutil.rmtree(damaged, ignore_errors=True)
    else:
        building.rename(folder)
    flush(folder.parent)


@contextmanager
def _only_one(path: Path, name: str, report: Progress) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report.step(f"{name}: another process is preparing it, waiting")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
