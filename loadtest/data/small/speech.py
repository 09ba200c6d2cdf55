"""A small LibriSpeech: the five embedded clips as utterances of two speakers, ready to be repackaged."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import soundfile

from loadtest.benchmarks.embedded_speech import recordings
from loadtest.data.librispeech import TRANSCRIPTS

NEXT = """make clips of it: mixfleet data repack-librispeech {out} {out}
try them: mixfleet offline --benchmark whisper --quick --data {out}"""

CHAPTERS = (
    "dev-clean/84/121123",
    "dev-clean/84/121123",
    "dev-clean/84/121550",
    "dev-other/116/288045",
    "dev-other/116/288045",
)
"""Where the recordings go, one after the other."""


def write(folder: Path) -> None:
    transcripts = defaultdict[Path, list[str]](list)
    for (recording, words), place in zip(recordings(), CHAPTERS, strict=True):
        chapter = folder / "LibriSpeech" / place
        name = "-".join([chapter.parent.name, chapter.name, f"{len(transcripts[chapter]):04d}"])
        chapter.mkdir(parents=True, exist_ok=True)
        audio, rate = soundfile.read(str(recording), dtype="int16")
        soundfile.write(chapter / f"{name}.flac", audio, rate, "PCM_16")
        transcripts[chapter].append(f"{name} {words.upper()}\n")
    for chapter, lines in transcripts.items():
        file = chapter / f"{chapter.parent.name}-{chapter.name}{TRANSCRIPTS}"
        file.write_text("".join(lines), encoding="utf-8")
