"""`python -m loadtest.data repack-librispeech`: LibriSpeech's dev-clean and dev-other as MLCommons' Whisper clips."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from cluster.progress import Progress
from loadtest.benchmarks.base import DataError
from loadtest.benchmarks.speech_manifest import MANIFEST, SAMPLE_RATE, manifest_entry
from loadtest.data.librispeech import Utterance, chapters
from loadtest.data.official import OFFICIAL, Kind
from loadtest.data.packing import GAP_S, pack
from loadtest.results import atomically, write_text

FOLDER = "dev-all-repack"
_GAP = np.zeros(int(GAP_S * SAMPLE_RATE), np.int16)


@dataclass(frozen=True)
class PackedClip:
    """A clip to be: utterances of one chapter that follow each other."""

    name: str
    utterances: tuple[Utterance, ...]

    @property
    def frames(self) -> int:
        return sum(utterance.frames for utterance in self.utterances) + len(_GAP) * (len(self.utterances) - 1)

    @property
    def transcript(self) -> str:
        return " ".join(utterance.transcript for utterance in self.utterances)

    def audio(self) -> NDArray[np.int16]:
        """[frames]. Raises DataError."""
        parts: list[NDArray[np.int16]] = []
        for utterance in self.utterances:
            parts += [_GAP, utterance.audio()] if parts else [utterance.audio()]
        return np.concatenate(parts)

    def write(self, file: Path) -> None:
        """As wav, whatever the file's ending. Raises DataError, OSError."""
        audio = self.audio()
        try:
            # MLCommons' script takes the samples through floating point, which gives the same ones back.
            soundfile.write(file, audio, SAMPLE_RATE, "PCM_16", format="WAV")
        except soundfile.SoundFileError as error:
            raise DataError(f"{file} cannot be written: {error}; is the disk full?") from None


def repack(source: Path, out: Path) -> None:
    """Writes the clips to `out`/dev-all-repack and, once all are there, the manifest beside.

    Clips that are there already are kept, so that the same again goes on. Raises DataError, OSError.
    """
    utterances = packed = 0
    clips: list[PackedClip] = []
    for chapter, found in chapters(source):
        groups = pack([utterance.seconds for utterance in found])
        clips += [
            PackedClip(f"{chapter}_{number}.wav", tuple(found[place] for place in group))
            for number, group in enumerate(groups)
        ]
        utterances, packed = utterances + len(found), packed + sum(map(len, groups))
    _write(clips, out / FOLDER)
    entries = [manifest_entry(f"{FOLDER}/{clip.name}", clip.frames, clip.transcript) for clip in clips]
    write_text(out / MANIFEST, json.dumps(entries, indent=2))
    _tell(clips, packed, utterances - packed, out)


def _tell(clips: list[PackedClip], packed: int, left_out: int, out: Path) -> None:
    hours = sum(clip.frames for clip in clips) / SAMPLE_RATE / 3600
    print(f"{out / MANIFEST}: {len(clips):,} clips, {hours:.2f} hours, of {packed:,} utterances")
    if left_out:
        print(f"left out, as published: {left_out} utterances longer than a clip")
    official = OFFICIAL["whisper"][Kind.PERFORMANCE].samples
    if len(clips) != official:
        print(f"MLCommons' set has {official:,} clips: recordings are missing, or are others; good for rehearsals only")


def _write(clips: list[PackedClip], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    began = time.time()
    with Progress("writing clips", "clips") as progress:
        for number, clip in enumerate(clips, 1):
            file = folder / clip.name
            if not _is_there(file, clip.frames):
                atomically(file, clip.write)
            progress.update(len(clips), number, time.time() - began)


def _is_there(file: Path, frames: int) -> bool:
    """A file with its own name is whole, since it got it last."""
    try:
        return file.is_file() and bool(soundfile.info(str(file)).frames == frames)
    except soundfile.SoundFileError:
        return False
