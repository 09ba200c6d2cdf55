"""From what a fleet file calls a checkpoint to what an engine can load."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cluster.checkpoints.errors import CheckpointError
from cluster.checkpoints.progress import Console, Progress
from cluster.checkpoints.recipe import Recipe
from cluster.checkpoints.recipes import RECIPES
from cluster.checkpoints.store import default_cache, prepare

HUB_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Resolved:
    """What an engine is given.

    Attributes:
        path: a folder, or a hub repository that the engine downloads itself.
        environment: variables that the engine needs for this checkpoint.
        revision: the hub commit asked for; None for a folder, whose content is what it is.
    """

    path: str
    environment: Mapping[str, str] = field(default_factory=dict)
    revision: str | None = None


def resolve(
    checkpoint: str,
    revision: str | None = None,
    cache: Path | None = None,
    report: Progress | None = None,
    *,
    verify: bool = False,
    recipes: Mapping[str, Recipe] = RECIPES,
) -> Resolved:
    """Finds a checkpoint: an embedded one's name, a local folder, or a hub repository (`org/name`).

    An embedded one is prepared first where the cache has none; with `verify` the cached files' hashes are checked, not
    only their sizes. Raises CheckpointError where nothing is meant by `checkpoint`, or where it cannot be prepared.
    """
    if recipe := recipes.get(checkpoint):
        if revision is not None:
            raise CheckpointError(
                f"the embedded checkpoint '{checkpoint}' is pinned already: remove the revision '{revision}'"
            )
        folder = prepare(recipe, cache or default_cache(), report or Console(), verify)
        return Resolved(str(folder), {name: str(folder / below) for name, below in recipe.environment.items()})
    local = Path(checkpoint).expanduser()
    if local.is_dir():
        if not (local / "config.json").is_file():
            raise CheckpointError(
                f"checkpoint folder {local.resolve()} holds no config.json: name a model's own folder"
            )
        return Resolved(str(local.resolve()))
    if local.exists():
        raise CheckpointError(f"checkpoint {local.resolve()} is a file: name the folder that holds config.json")
    if checkpoint.startswith(("/", "./", "../", "~")):
        raise CheckpointError(f"checkpoint folder {local.absolute()} does not exist: correct the path")
    if HUB_REPOSITORY.fullmatch(checkpoint):
        return Resolved(checkpoint, revision=revision)
    raise CheckpointError(_unknown(checkpoint, recipes))


def prepare_all(
    names: Iterable[str], cache: Path | None = None, report: Progress | None = None, *, verify: bool = False
) -> dict[str, Path]:
    """Prepares the embedded checkpoints of these names; their folders by name. Raises CheckpointError."""
    return {name: Path(_embedded(name, cache, report, verify).path) for name in dict.fromkeys(names)}


def _embedded(name: str, cache: Path | None, report: Progress | None, verify: bool) -> Resolved:
    if name not in RECIPES:
        raise CheckpointError(_unknown(name, RECIPES))
    return resolve(name, None, cache, report, verify=verify)


def _unknown(name: str, recipes: Mapping[str, Recipe]) -> str:
    near = difflib.get_close_matches(name, recipes, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return (
        f"unknown checkpoint '{name}': it is no embedded one ({', '.join(sorted(recipes))}), "
        f"no folder at {Path(name).expanduser().absolute()}, and no hub repository of the form org/name.{hint}"
    )
