"""A recipe: the sources a checkpoint may come from, in order, and how each one's files become a checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol

from cluster.checkpoints.progress import Progress

Build = Callable[[Mapping[str, Path], Path, Progress], None]
"""Makes a checkpoint from a source's files (name -> path) inside an empty folder."""


class Source(Protocol):
    """Somewhere a checkpoint's files come from. Every file is checked against its pinned SHA-256."""

    @property
    def label(self) -> str:
        """What a person calls this source."""

    def fetch(self, downloads: Path, report: Progress) -> Mapping[str, Path]:
        """Paths of the verified files by name. What is downloaded lands in `downloads`, and what lies there already
        is used again. Raises SourceUnavailable."""


@dataclass(frozen=True)
class Variant:
    """A source and the `module:function` (a `Build`) that its files need, imported on use."""

    source: Source
    build: str

    def build_function(self) -> Build:
        module, _, function = self.build.partition(":")
        built: Build = getattr(import_module(module), function)
        return built


@dataclass(frozen=True)
class Recipe:
    """How one embedded checkpoint is prepared.

    Attributes:
        version: raised whenever a build's outcome changes, so that older cache folders are not taken for it.
        environment: variable -> folder inside the checkpoint that the engine needs it to name.
    """

    name: str
    version: int
    variants: tuple[Variant, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Its cache folder's name: another version or another pinned file gives another folder."""
        digest = hashlib.sha256(repr((self.version, self.variants)).encode()).hexdigest()
        return f"{self.name}-{digest[:12]}"
