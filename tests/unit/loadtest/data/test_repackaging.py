from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from loadtest.benchmarks.base import DataError, Mode
from loadtest.benchmarks.whisper import Whisper
from loadtest.data.librispeech import Utterance, chapters
from loadtest.data.repackaging import repack

RATE = 16_000
PLACES = {"dev-clean/84/7": [12.0, 11.5, 6.0, 3.25, 31.0, 2.0], "dev-clean/84/12": [29.75, 4.0], "dev-other/9/1": [2.5]}


def add_chapter(folder: Path, place: str, seconds: list[float], rate: int = RATE) -> None:
    chapter = folder / place
    chapter.mkdir(parents=True)
    chance = np.random.default_rng(len(place))
    lines = []
    for number, length in enumerate(seconds):
        name = f"{chapter.parent.name}-{chapter.name}-{number:04d}"
        noise = chance.integers(-32768, 32767, int(length * rate), np.int16, endpoint=True)
        soundfile.write(chapter / f"{name}.flac", noise, rate, "PCM_16")
        lines.append(f"{name} WORD {number} OF {chapter.name}\n")
    (chapter / f"{chapter.parent.name}-{chapter.name}.trans.txt").write_text("".join(lines))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    for place, seconds in PLACES.items():
        add_chapter(folder / "LibriSpeech", place, seconds)
    return folder


def files(folder: Path) -> dict[str, int]:
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


def test_chapters_by_number_and_utterances_in_order(source: Path) -> None:
    found = dict(chapters(source))
    assert list(found) == ["9-1", "84-7", "84-12"]
    assert [utterance.seconds for utterance in found["84-7"]] == PLACES["dev-clean/84/7"]
    assert found["84-7"][1].transcript == "word 1 of 7"
    assert dict(chapters(source / "LibriSpeech")) == found


def test_clips_hold_their_utterances_to_the_sample(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repack(source, tmp_path)
    entries = json.loads((tmp_path / "dev-all-repack.json").read_text())
    assert [entry["files"][0]["fname"] for entry in entries] == [
        f"dev-all-repack/{name}.wav" for name in ("9-1_0", "84-7_0", "84-7_1", "84-12_0", "84-12_1")
    ]
    spoken = dict(chapters(source))
    wanted = [
        spoken["9-1"],
        spoken["84-7"][:2],
        [*spoken["84-7"][2:4], spoken["84-7"][5]],
        spoken["84-12"][:1],
        spoken["84-12"][1:],
    ]
    for entry, utterances in zip(entries, wanted, strict=True):
        assert entry["transcript"] == " ".join(utterance.transcript for utterance in utterances)
        (file,) = entry["files"]
        audio, rate = soundfile.read(tmp_path / file["fname"], dtype="int16")
        assert (rate, len(audio), file["channels"], file["speed"]) == (RATE, file["num_samples"], 1, 1)
        assert entry["original_duration"] == file["duration"] == len(audio) / RATE <= 30
        gap, expected = np.zeros(RATE // 2, np.int16), list[np.ndarray]()
        for utterance in utterances:
            expected += [gap, utterance.audio()] if expected else [utterance.audio()]
        assert np.array_equal(audio, np.concatenate(expected))
    told = capsys.readouterr().out
    assert "5 clips, 0.02 hours, of 8 utterances" in told
    assert "left out, as published: 1 utterances longer than a clip" in told
    assert "MLCommons' set has 1,633 clips" in told


def test_the_result_is_what_the_benchmark_loads(source: Path, tmp_path: Path) -> None:
    repack(source, tmp_path)
    clips = Whisper().load(tmp_path, Mode.PERFORMANCE)
    assert [clip.seconds for clip in clips.clips] == [2.5, 24.0, 12.25, 29.75, 4.0]


def test_a_second_run_keeps_what_is_there(source: Path, tmp_path: Path) -> None:
    repack(source, tmp_path)
    before = files(tmp_path)
    manifest = (tmp_path / "dev-all-repack.json").read_bytes()
    cut, gone, foreign = (tmp_path / "dev-all-repack" / f"{name}.wav" for name in ("9-1_0", "84-7_0", "84-12_1"))
    cut.write_bytes(cut.read_bytes()[:1000])
    gone.unlink()
    foreign.write_bytes(b"no sound at all")
    repack(source, tmp_path)
    after = files(tmp_path)
    assert after.keys() == before.keys()
    assert {name for name in before if after[name] != before[name]} - {"dev-all-repack.json"} == {
        f"dev-all-repack/{file.name}" for file in (cut, gone, foreign)
    }
    assert (tmp_path / "dev-all-repack.json").read_bytes() == manifest


def test_stopped_in_the_middle_it_leaves_whole_clips_and_no_manifest(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    repack(source, whole)
    read, stopped = Utterance.audio, tmp_path / "stopped"
    calls: Iterator[int] = iter(range(3))

    def read_three(utterance: Utterance) -> np.ndarray:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return read(utterance)

    monkeypatch.setattr(Utterance, "audio", read_three)
    with pytest.raises(KeyboardInterrupt):
        repack(source, stopped)
    assert set(files(stopped)) == {"dev-all-repack/9-1_0.wav", "dev-all-repack/84-7_0.wav"}
    monkeypatch.undo()
    repack(source, stopped)
    assert {name: (whole / name).read_bytes() for name in files(whole)} == {
        name: (stopped / name).read_bytes() for name in files(stopped)
    }


def test_a_folder_that_is_no_librispeech(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected the folders dev-clean and dev-other .*openslr"):
        repack(tmp_path, tmp_path / "out")
    for name in ("dev-clean", "dev-other"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="holds no transcripts"):
        repack(tmp_path, tmp_path / "out")


def test_recordings_that_are_wrong(tmp_path: Path) -> None:
    (tmp_path / "dev-other").mkdir()
    add_chapter(tmp_path, "dev-clean/84/7", [1.0, 1.0])
    flac = tmp_path / "dev-clean/84/7/84-7-0001.flac"
    good = flac.read_bytes()
    flac.unlink()
    with pytest.raises(DataError, match=r"84-7-0001\.flac: named in 84-7\.trans\.txt, but unreadable"):
        repack(tmp_path, tmp_path / "out")
    flac.write_bytes(good[: len(good) // 2])
    with pytest.raises(DataError, match=r"84-7-0001\.flac: .*unpack it again"):
        repack(tmp_path, tmp_path / "out")
    soundfile.write(flac, np.zeros((800, 2), np.int16), 8000)
    with pytest.raises(DataError, match="8000 Hz and 2 channels"):
        repack(tmp_path, tmp_path / "out")
    flac.write_bytes(good)
    add_chapter(tmp_path, "dev-other/84/7", [1.0])
    with pytest.raises(DataError, match="chapter 84-7 is there twice"):
        repack(tmp_path, tmp_path / "out")


def test_transcripts_of_another_name(tmp_path: Path) -> None:
    (tmp_path / "dev-other").mkdir()
    add_chapter(tmp_path, "dev-clean/84/x", [1.0])
    with pytest.raises(DataError, match=r"84-x\.trans\.txt: expected a name like"):
        repack(tmp_path, tmp_path / "out")
