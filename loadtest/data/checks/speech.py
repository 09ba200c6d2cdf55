"""Check of a manifest and its wav files against the LibriSpeech clips that MLCommons takes for Whisper."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import soundfile

from cluster.progress import Progress
from loadtest.benchmarks.base import DataError
from loadtest.benchmarks.speech_manifest import SAMPLE_RATE, Clip, find_manifest, read_clip, read_entries
from loadtest.data.checks.finding import Finding, checksums, equal, none_of
from loadtest.data.checksums import digest_of, recorded
from loadtest.data.official import OFFICIAL, Kind

LONGEST_S = 30.0
_WORDS = re.compile(r"[a-z']+( [a-z']+)*")


def check(path: Path, kind: Kind) -> Iterator[Finding]:
    manifest = find_manifest(path)
    yield Finding("manifest", str(manifest))
    entries = read_entries(manifest)
    yield equal("samples", len(entries), OFFICIAL["whisper"][kind].samples)
    clips, broken = list[Clip](), list[str]()
    for number, entry in enumerate(entries):
        try:
            clips.append(read_clip(manifest, number, entry))
        except DataError as error:
            broken.append(str(error).removeprefix(f"{manifest}: ").partition(";")[0])
    yield none_of("clips that are missing or not described", broken)
    yield none_of("wav files of another form than 16 kHz, mono, 16 bits", _of_other_form(clips))
    yield none_of("clips longer than 30 s", [clip.file.name for clip in clips if clip.seconds > LONGEST_S])
    yield none_of("transcripts not in lower case", [c.file.name for c in clips if not _WORDS.fullmatch(c.transcript)])
    yield none_of("files named twice", _repeated([clip.file.name for clip in clips]))
    yield Finding("speech", f"{sum(clip.seconds for clip in clips) / 3600:.2f} hours")
    yield from checksums([manifest])
    if listed := [clip for clip in clips if recorded(clip.file) is not None]:
        yield none_of(f"of {len(listed)} wav files with a recorded MD5, others than that", _altered(listed))


def _of_other_form(clips: Sequence[Clip]) -> list[str]:
    wrong = []
    for clip in clips:
        try:
            info = soundfile.info(str(clip.file))
        except soundfile.SoundFileError as error:
            wrong.append(f"{clip.file.name} ({error})")
            continue
        form = (info.samplerate, info.channels, info.subtype)
        if form != (SAMPLE_RATE, 1, "PCM_16"):
            wrong.append(f"{clip.file.name} ({info.samplerate} Hz, {info.channels} channels, {info.subtype})")
        elif info.frames != round(clip.seconds * SAMPLE_RATE):
            wrong.append(f"{clip.file.name} ({info.duration:.2f} s instead of {clip.seconds:.2f} s)")
    return wrong


def _altered(clips: Sequence[Clip]) -> list[str]:
    wrong, began = [], time.time()
    with Progress("reading clips", "clips") as progress:
        for number, clip in enumerate(clips, 1):
            record = recorded(clip.file)
            if record is not None and digest_of(clip.file, record.algorithm) != record.digest:
                wrong.append(clip.file.name)
            progress.update(len(clips), number, time.time() - began)
    return wrong


def _repeated(names: Sequence[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]
