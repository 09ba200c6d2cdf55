"""Five LibriVox clips of Sense and Sensibility as a manifest in MLCommons' format."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import soundfile

from loadtest.benchmarks.embedded import raw_data
from loadtest.benchmarks.speech_manifest import MANIFEST, manifest_entry

_LINE = re.compile(r"<s>(?P<words>.*)</s>\s*\((?P<clip>[^)]+)\)")


def recordings() -> Iterator[tuple[Path, str]]:
    """The clips, 16 kHz mono, and what is said in each."""
    raw = raw_data("speech")
    for line in (raw / "transcription").read_text(encoding="utf-8").splitlines():
        if found := _LINE.match(line.strip()):
            yield raw / f"{found['clip']}.wav", found["words"].strip()


def write_speech(folder: Path) -> None:
    """Copies the clips to `folder` and writes the manifest, of the file name that the official data set has."""
    entries = []
    for file, words in recordings():
        shutil.copy(file, folder)
        entries.append(manifest_entry(file.name, soundfile.info(str(file)).frames, words))
    (folder / MANIFEST).write_text(json.dumps(entries, indent=1), encoding="utf-8")
