"""MLCommons' manifest of the repackaged LibriSpeech, dev-all-repack.json: clips, their wav files and transcripts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from loadtest.benchmarks.base import DataError
from loadtest.data.official import how_to_get

MANIFEST = "dev-all-repack.json"
SAMPLE_RATE = 16_000
BITS = 16


@dataclass(frozen=True)
class Clip:
    file: Path
    seconds: float
    transcript: str


def find_manifest(path: Path) -> Path:
    """The manifest at `path`: itself, or the one in the folder or just below it. Raises DataError."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder; give the manifest or its folder. {how_to_get('whisper')}")
    manifests = [path / MANIFEST] if (path / MANIFEST).is_file() else sorted(path.glob(f"*/{MANIFEST}"))
    manifests = manifests or sorted(path.glob("*.json"))
    if len(manifests) != 1:
        names = ", ".join(str(file.relative_to(path)) for file in manifests) or "none"
        raise DataError(f"{path}: expected one manifest ({MANIFEST}) there, found {names}; name the manifest itself")
    return manifests[0]


def read_entries(manifest: Path) -> list[Any]:
    """The manifest's entries as they are. Raises DataError."""
    try:
        entries = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{manifest}: not a readable JSON manifest: {error}") from None
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{manifest}: a manifest is a JSON list of clips; this one is empty or of another shape")
    return entries


def read_clips(manifest: Path, limit: int | None = None) -> tuple[Clip, ...]:
    """Its first `limit` clips, all of which exist. Raises DataError."""
    return tuple(read_clip(manifest, number, entry) for number, entry in enumerate(read_entries(manifest)[:limit]))


def read_clip(manifest: Path, number: int, entry: Any) -> Clip:
    """One entry's clip, which exists. Raises DataError."""
    try:
        # Speeds other than 1 are copies for training; the reference leaves them out.
        name = next(file["fname"] for file in entry["files"] if file.get("speed", 1) == 1)
        file, seconds, transcript = _place(manifest, name), float(entry["original_duration"]), str(entry["transcript"])
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise DataError(
            f"{manifest}: clip {number} lacks files[].fname, transcript or original_duration ({error!r}); "
            "make the manifest with MLCommons' repackage_librispeech.py or `mixfleet data repack-librispeech`"
        ) from None
    if file is None:
        raise DataError(
            f"{manifest}: clip {number} names {name}, which does not exist, from the manifest's folder either"
        )
    return Clip(file, seconds, transcript)


def _place(manifest: Path, name: str) -> Path | None:
    """Where the file lies. The published manifest names files from the folder in which it was made, which was another:
    ./data/dev-all-repack/1.wav is dev-all-repack/1.wav beside it."""
    parts = PurePath(name).parts
    places = (manifest.parent.joinpath(*parts[start:]) for start in range(len(parts)))
    return next((place for place in places if place.is_file()), None)


def manifest_entry(name: str, frames: int, transcript: str) -> dict[str, object]:
    """A clip of so many frames as the manifest has it; `name` from the manifest's folder."""
    seconds = frames / SAMPLE_RATE
    facts = {
        "channels": 1,
        "sample_rate": float(SAMPLE_RATE),
        "bitdepth": BITS,
        "bitrate": float(SAMPLE_RATE * BITS),
        "duration": seconds,
        "num_samples": frames,
        "encoding": "Signed Integer PCM",
        "silent": False,
        "fname": name,
        "speed": 1,
    }
    return {
        "transcript": transcript,
        "files": [facts],
        "original_duration": seconds,
        "original_num_samples": frames,
    }
