"""LibriSpeech's dev-clean and dev-other as published: a flac file for each utterance, transcripts by chapter."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from cluster.progress import Progress
from loadtest.benchmarks.base import DataError
from loadtest.benchmarks.speech_manifest import SAMPLE_RATE

SUBSETS = ("dev-clean", "dev-other")
TRANSCRIPTS = ".trans.txt"
_CHAPTER = re.compile(r"(\d+)-(\d+)")


@dataclass(frozen=True)
class Utterance:
    """A sentence or so: 16 kHz, mono. `transcript` is in lower case, as MLCommons has it."""

    file: Path
    frames: int
    transcript: str

    @property
    def seconds(self) -> float:
        return self.frames / SAMPLE_RATE

    def audio(self) -> NDArray[np.int16]:
        """[frames] samples. Raises DataError."""
        try:
            audio: NDArray[np.int16] = soundfile.read(str(self.file), dtype="int16")[0]
        except soundfile.SoundFileError as error:
            raise DataError(f"{self.file}: unreadable: {error}; unpack it again") from None
        if len(audio) != self.frames:
            raise DataError(f"{self.file}: ends after {len(audio)} of {self.frames} samples; unpack it again")
        return audio


def chapters(source: Path) -> Iterator[tuple[str, list[Utterance]]]:
    """Each chapter (SPEAKER-NUMBER) and its utterances, as its transcripts order them; by speaker and chapter.

    `source` holds the two folders, or LibriSpeech with them in it. Raises DataError.
    """
    transcripts: dict[str, Path] = {}
    for folder in _subsets(source):
        for file in folder.glob(f"*/*/*{TRANSCRIPTS}"):
            chapter = file.name.removesuffix(TRANSCRIPTS)
            if not _CHAPTER.fullmatch(chapter):
                raise DataError(f"{file}: expected a name like 84-121123.trans.txt, of speaker and chapter")
            if chapter in transcripts:
                raise DataError(f"{file}: chapter {chapter} is there twice, the other time in {transcripts[chapter]}")
            transcripts[chapter] = file
    if not transcripts:
        raise DataError(f"{source}: holds no transcripts (dev-clean/SPEAKER/CHAPTER/*.trans.txt); unpack it again")
    began, ordered = time.time(), sorted(transcripts, key=lambda chapter: [int(part) for part in chapter.split("-")])
    with Progress("reading utterances", "chapters") as progress:
        for number, chapter in enumerate(ordered, 1):
            yield chapter, list(_utterances(transcripts[chapter]))
            progress.update(len(ordered), number, time.time() - began)


def _subsets(source: Path) -> Iterable[Path]:
    for base in (source, source / "LibriSpeech"):
        folders = [base / name for name in SUBSETS]
        if all(folder.is_dir() for folder in folders):
            return folders
    raise DataError(
        f"{source}: expected the folders dev-clean and dev-other there, or in its LibriSpeech; "
        "get dev-clean.tar.gz and dev-other.tar.gz from https://www.openslr.org/12 and unpack both there"
    )


def _utterances(transcripts: Path) -> Iterator[Utterance]:
    for line in transcripts.read_text(encoding="utf-8").splitlines():
        name, _, words = line.partition(" ")
        file = transcripts.with_name(f"{name}.flac")
        try:
            sound = soundfile.info(str(file))
        except soundfile.SoundFileError as error:
            raise DataError(f"{file}: named in {transcripts.name}, but unreadable: {error}; unpack it again") from None
        if (sound.samplerate, sound.channels) != (SAMPLE_RATE, 1):
            raise DataError(
                f"{file}: {sound.samplerate} Hz and {sound.channels} channels; LibriSpeech's are {SAMPLE_RATE} Hz mono"
            )
        yield Utterance(file, sound.frames, words.lower().strip())
