"""Each small set is loaded by the same code as the official one, and answered by what should be right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from loadtest.benchmarks.base import Mode, Served
from loadtest.benchmarks.catalogue_file import SCHEMA as PRODUCTS
from loadtest.benchmarks.gpt_oss import GptOss, encode_tokens
from loadtest.benchmarks.prompt_file import SCHEMA as PROMPTS
from loadtest.benchmarks.qwen3_vl import Qwen3VL
from loadtest.benchmarks.scoring.exact_match import REPEATS
from loadtest.benchmarks.scoring.live_code_bench import LiveCodeBench
from loadtest.benchmarks.whisper import Whisper, encode_transcript
from loadtest.command import Refused
from loadtest.data.layout import official_file
from loadtest.data.repackaging import repack
from loadtest.data.small import SMALL, make_small
from loadtest.data.small.code_problems import PROBLEMS
from loadtest.data.small.prompts import write_download


def spell(effort: str, question: str) -> tuple[list[int], str]:
    """Stands for Harmony: a token a character."""
    text = f"{effort}: {question}"
    return [ord(character) for character in text], text


@pytest.fixture
def download(tmp_path: Path) -> Path:
    folder = tmp_path / "gpt-oss-data"
    folder.mkdir()
    write_download(folder, spell)
    return folder


def test_prompts_of_each_mode_with_their_efforts(download: Path) -> None:
    performance = GptOss().load(download, Mode.PERFORMANCE)
    accuracy = GptOss().load(download, Mode.ACCURACY)
    compliance = GptOss().load(official_file(download, Mode.PERFORMANCE, "TEST07"), Mode.PERFORMANCE)
    assert set(performance.datasets) == {"pubmed_summarization"}
    assert set(compliance.datasets) == {"gpqa_diamond"}
    assert set(accuracy.datasets) == set(REPEATS)
    for name, repeats in REPEATS.items():
        assert accuracy.datasets.count(name) % repeats == 0 < accuracy.datasets.count(name)
    starts = {"".join(map(chr, prompts.token_ids[0])).partition(":")[0] for prompts in (accuracy, compliance)}
    assert starts == {"high"}
    assert "".join(map(chr, performance.token_ids[0])).startswith("low: Summarise")
    assert json.loads(performance.body(0, Served("m"), Mode.PERFORMANCE))["max_tokens"] == 10240


def test_prompts_have_the_published_columns(download: Path) -> None:
    for file in download.rglob("*.parquet"):
        table = pq.read_table(file)
        assert table.schema.equals(PROMPTS)
        assert table.column("num_tokens").to_pylist() == [len(ids) for ids in table.column("input_tokens").to_pylist()]
        ((message,), *_) = table.column("original_messages").to_pylist()
        assert message["role"] == "user"
        assert message["content"] in table.column("text_input")[0].as_py()


def test_right_answers_are_scored_right(download: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.benchmarks.gpt_oss.harmony_text", lambda ids: "".join(map(chr, ids)))
    prompts = GptOss().load(official_file(download, Mode.PERFORMANCE, "TEST07"), Mode.PERFORMANCE)
    answers = {place: encode_tokens([*map(ord, truth)]) for place, truth in enumerate(prompts.truths)}
    assert prompts.score(answers).value == 100.0
    accuracy = GptOss().load(download, Mode.ACCURACY)
    boxed = {
        place: encode_tokens([*map(ord, f"\\boxed{{{truth}}}")])
        for place, truth in enumerate(accuracy.truths)
        if accuracy.datasets[place] == "aime25"
    }
    assert accuracy.score(boxed).value == 100.0


def test_each_code_question_has_its_problem(download: Path) -> None:
    accuracy = GptOss().load(download, Mode.ACCURACY)
    asked = {truth for truth, name in zip(accuracy.truths, accuracy.datasets, strict=True) if "livecode" in name}
    problems = LiveCodeBench(download / "livecodebench")
    assert asked == {problem.id for problem in PROBLEMS}
    for problem in PROBLEMS:
        assert problems[problem.id].tests == problem.shown + problem.hidden
        assert problems[problem.id].function == problem.function


def test_the_solutions_of_the_code_questions_pass() -> None:
    for problem in PROBLEMS:
        for given, expected in problem.shown + problem.hidden:
            if problem.function is None:
                command = [sys.executable, "-c", problem.solution]
                assert subprocess.run(command, input=given, capture_output=True, text=True).stdout == expected
            else:
                names: dict[str, type] = {}
                exec(problem.solution, names)
                assert getattr(names["Solution"](), problem.function)(json.loads(given)) == json.loads(expected)


def test_products_of_both_splits(tmp_path: Path) -> None:
    make_small("qwen3-vl", tmp_path / "out")
    catalogue = Qwen3VL().load(tmp_path / "out", Mode.ACCURACY)
    assert catalogue.rows.schema.equals(PRODUCTS)
    counts = [pq.read_metadata(file).num_rows for file in sorted((tmp_path / "out/data").glob("*"), reverse=True)]
    assert len(counts) == 2
    assert sum(counts) == len(catalogue) == len(set(catalogue.rows.column("product_title").to_pylist()))
    assert len({catalogue.work(index) for index in range(len(catalogue))}) > 1
    rows = catalogue.rows.to_pylist()
    assert all(row["ground_truth_category"] in row["potential_product_categories"] for row in rows)
    truths = [row["ground_truth_category"] for row in rows]
    assert {truth.count(" > ") for truth in truths} == {2, 3, 4}

    def answer(category: str) -> bytes:
        return json.dumps({"category": category, "brand": "x", "is_secondhand": False}).encode()

    assert catalogue.score({index: answer(truth) for index, truth in enumerate(truths)}).value == 1.0
    parents = {index: answer(truth.rpartition(" > ")[0]) for index, truth in enumerate(truths)}
    assert 0.5 < catalogue.score(parents).value < 1.0
    assert b"data:image/JPEG" in catalogue.body(0, Served("m"), Mode.PERFORMANCE)


def test_speech_that_can_be_repackaged(tmp_path: Path) -> None:
    make_small("whisper", tmp_path / "out")
    repack(tmp_path / "out", tmp_path / "out")
    clips = Whisper().load(tmp_path / "out", Mode.ACCURACY)
    assert [clip.file.name for clip in clips.clips] == ["84-121123_0.wav", "84-121550_0.wav", "116-288045_0.wav"]
    assert sum(clip.seconds for clip in clips.clips) == pytest.approx(24.7 + 2 * 0.5, abs=0.1)
    answers = {index: encode_transcript(clip.transcript) for index, clip in enumerate(clips.clips)}
    score = clips.score(answers)
    assert (score.value, score.detail["words"]) == (100.0, 71)


@pytest.mark.parametrize("benchmark", SMALL)
def test_an_existing_folder_is_left_alone(benchmark: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(Refused, match="exists already"):
        make_small(benchmark, tmp_path / "out")


def test_nothing_half_made_gets_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("loadtest.data.small.catalogue.write_products", full)
    with pytest.raises(OSError, match="disk full"):
        make_small("qwen3-vl", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    make_small("qwen3-vl", tmp_path / "out")
