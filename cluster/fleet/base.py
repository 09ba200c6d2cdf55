"""What all parts of the fleet file's schema are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
"""A pool or fleet name: it becomes part of deployment names, metric labels and result folders."""


ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]*$", max_length=128)]
"""A served model name or alias, as clients write it in `model`."""


def _absolute(value: str) -> str:
    if not Path(value).is_absolute() and not value.startswith("~"):
        raise ValueError("write an absolute path, or one that begins with ~: gateways start in folders of their own")
    return value


AbsolutePath = Annotated[str, AfterValidator(_absolute)]
"""A file on each node, for processes that start in folders of their own."""


class Strict(BaseModel):
    """Rejects unknown keys, so that a misspelt one is an error and never a silent default.

    Errors do not show what was written: it may be a client's key at a wrong place. `cluster.loading` shows what it may.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def one_of(value: str, known: dict[str, Any], what: str) -> str:
    if value not in known:
        raise ValueError(f"unknown {what} '{value}': use one of {', '.join(sorted(known))}")
    return value


def distinct(names: list[str], what: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what} used twice: {', '.join(twice)}; rename or remove one")
