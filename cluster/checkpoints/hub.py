"""Sources: a model hub's repository at one commit, from huggingface_hub's own cache or over the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.checkpoints.download import download
from cluster.checkpoints.errors import SourceUnavailable
from cluster.checkpoints.pinned import PinnedFile
from cluster.checkpoints.progress import Progress


@dataclass(frozen=True)
class HubRepository:
    """The files of one commit that a checkpoint needs."""

    repository: str
    revision: str
    files: tuple[PinnedFile, ...]


@dataclass(frozen=True)
class HubCache:
    """What huggingface_hub has downloaded on this machine before."""

    hub: HubRepository

    @property
    def label(self) -> str:
        return f"the local copy of {self.hub.repository}"

    def fetch(self, downloads: Path, report: Progress) -> Mapping[str, Path]:
        del downloads, report
        from huggingface_hub import try_to_load_from_cache

        paths = {}
        for file in self.hub.files:
            found = try_to_load_from_cache(self.hub.repository, file.name, revision=self.hub.revision)
            if not isinstance(found, str):
                raise SourceUnavailable("huggingface_hub's cache has none, or not all of it")
            if flaw := file.flaw(Path(found)):
                raise SourceUnavailable(flaw)
            paths[file.name] = Path(found)
        return paths


@dataclass(frozen=True)
class HubDownload:
    """The hub itself; its address and offline mode are huggingface_hub's settings (HF_ENDPOINT, HF_HUB_OFFLINE)."""

    hub: HubRepository

    @property
    def label(self) -> str:
        return f"the model hub's {self.hub.repository}"

    def fetch(self, downloads: Path, report: Progress) -> Mapping[str, Path]:
        from huggingface_hub import constants

        if constants.HF_HUB_OFFLINE:
            raise SourceUnavailable("HF_HUB_OFFLINE is set")
        paths = {}
        for file in self.hub.files:
            url = f"{constants.ENDPOINT}/{self.hub.repository}/resolve/{self.hub.revision}/{file.name}"
            paths[file.name] = download(url, file, downloads / file.name, report)
        return paths
