"""Five LibriVox clips of Sense and Sensibility as a manifest in MLCommons' format."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import soundfile

from loadtest.benchmarks.embedded import raw_data

_LINE = re.compile(r"<s>(?P<words>.*)</s>\s*\((?P<clip>[^)]+)\)")


def write_speech(folder: Path) -> None:
    """Copies the clips to `folder` and writes `dev-all-repack.json`, the file name that the official data set has."""
    raw = raw_data("speech")
    entries = []
    for line in (raw / "transcription").read_text(encoding="utf-8").splitlines():
        if found := _LINE.match(line.strip()):
            file = shutil.copy(raw / f"{found['clip']}.wav", folder)
            entries.append(_entry(Path(file), found["words"].strip()))
    (folder / "dev-all-repack.json").write_text(json.dumps(entries, indent=1), encoding="utf-8")


def _entry(file: Path, transcript: str) -> dict[str, object]:
    with soundfile.SoundFile(str(file)) as sound:
        facts = {
            "channels": sound.channels,
            "sample_rate": float(sound.samplerate),
            "bitdepth": 16,
            "duration": sound.frames / sound.samplerate,
            "num_samples": sound.frames,
            "encoding": "Signed Integer PCM",
            "silent": False,
            "fname": file.name,
            "speed": 1,
        }
    return {
        "transcript": transcript,
        "files": [facts],
        "original_duration": facts["duration"],
        "original_num_samples": facts["num_samples"],
    }
