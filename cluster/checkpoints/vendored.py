"""Source: files that came with this package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.checkpoints.errors import SourceUnavailable
from cluster.checkpoints.pinned import PinnedFile
from cluster.checkpoints.progress import Progress

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class VendoredFiles:
    """Files below this package's `data`; `file.name` is the path from there."""

    files: tuple[PinnedFile, ...]

    @property
    def label(self) -> str:
        return "the package's own data"

    def fetch(self, downloads: Path, report: Progress) -> Mapping[str, Path]:
        del downloads, report
        for file in self.files:
            if found := file.flaw(DATA / file.name):
                raise SourceUnavailable(f"{found} in {DATA}: install this package again")
        return {Path(file.name).name: DATA / file.name for file in self.files}
