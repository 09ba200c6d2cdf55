"""The check command on sets that are right and on sets that are wrong in one way each."""

from __future__ import annotations

import hashlib
import json
import pickle
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from loadtest.benchmarks.prompt_file import PromptRow, write_prompts
from loadtest.data.__main__ import main
from loadtest.data.official import OFFICIAL, Kind
from loadtest.data.small import make_small

COMMIT = "d5c517c509f5aca99053897ef1de797d6d7e5aa5"
Check = Callable[..., tuple[int, dict[str, list[str]], str]]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs the command: its exit status, the table's cells by their first, all that it said."""

    def run(*arguments: object) -> tuple[int, dict[str, list[str]], str]:
        code = main(["check", *map(str, arguments)])
        said = capsys.readouterr().out
        cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in said.splitlines()]
        return code, {row[0]: row[1:] for row in cells if len(row) > 1}, said

    return run


def official(monkeypatch: pytest.MonkeyPatch, benchmark: str, kind: Kind, **changes: Any) -> None:
    """As if MLCommons' set were another: the real ones cannot be had in a test."""
    monkeypatch.setitem(OFFICIAL[benchmark], kind, replace(OFFICIAL[benchmark][kind], **changes))  # type: ignore[arg-type]


def write_list(file: Path, *names: str) -> None:
    """An MD5 list as MLCommons' downloader leaves it."""
    lines = [f"{hashlib.md5((file.parent / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    file.write_text("".join(lines))


ACCURACY = {"aime25": 240, "gpqa_diamond": 990, "livecodebench_v6": 3165}


def prompts(folder: Path, counts: dict[str, int] = ACCURACY, **changes: Any) -> Path:
    file = folder / "acc" / "acc_eval_ref.parquet"
    file.parent.mkdir()
    rows = [PromptRow(array("i", [1, 2]), "B", name) for name, count in counts.items() for _ in range(count)]
    write_prompts(file, [replace(rows[0], **changes), *rows[1:]])
    return file


def test_prompts_of_the_official_shape_and_checksum(tmp_path: Path, check: Check) -> None:
    prompts(tmp_path)
    write_list(tmp_path / "gpt-oss-data.md5", "acc/acc_eval_ref.parquet")
    code, rows, said = check("--benchmark", "gpt-oss", "--set", "accuracy", tmp_path)
    assert (code, rows["samples"]) == (0, ["4,395", "4,395", "ok"])
    assert rows["made of"][0] == "aime25 240, gpqa_diamond 990, livecodebench_v6 3,165"
    assert rows["MD5 of acc_eval_ref.parquet, by gpt-oss-data.md5"][2] == "ok"
    assert said.startswith("gpt-oss, accuracy set: all as it should be\n")
    assert "To get it" not in said


def test_without_a_list_the_published_md5_counts(tmp_path: Path, check: Check) -> None:
    code, rows, said = check("--benchmark", "gpt-oss", prompts(tmp_path))
    assert (code, rows["samples"][2]) == (1, "ok")
    assert rows["MD5 of acc_eval_ref.parquet"][1:] == ["29d35424fc8d31461e73a7766446480e", "WRONG"]
    assert said.endswith("-d gpt-oss-data https://inference.mlcommons-storage.org/metadata/gpt-oss-data.uri\n")


@pytest.mark.parametrize(
    ("changes", "what", "found"),
    [
        ({"counts": {**ACCURACY, "aime25": 239}}, "samples", "4,394"),
        ({"counts": {**ACCURACY, "aime25": 239, "gpqa_diamond": 991}}, "made of", "aime25 239, gpqa_diamond 991,"),
        ({"truth": None}, "prompts without a right answer", "1: row 0"),
        ({"ids": array("i")}, "empty prompts", "1: row 0"),
    ],
)
def test_prompts_that_are_wrong_in_one_way(
    tmp_path: Path, check: Check, changes: dict[str, Any], what: str, found: str
) -> None:
    prompts(tmp_path, **changes)
    write_list(tmp_path / "gpt-oss-data.md5", "acc/acc_eval_ref.parquet")
    code, rows, _ = check("--benchmark", "gpt-oss", "--set", "accuracy", tmp_path)
    wrong = {name for name, cells in rows.items() if cells[-1] == "WRONG"}
    assert (code, wrong - {"made of"}) == (1, {what} - {"made of"})
    assert rows[what][0].startswith(found)


def test_token_counts_that_do_not_fit(tmp_path: Path, check: Check) -> None:
    file = prompts(tmp_path)
    table = pq.read_table(file)
    counts = pa.array([3, *[2] * (table.num_rows - 1)])
    pq.write_table(table.set_column(1, "num_tokens", counts).drop_columns(["text_input"]), file)
    _, rows, _ = check("--benchmark", "gpt-oss", file)
    assert rows["prompts with another number of tokens than told"][0] == "1: row 0 has 2 of 3"
    assert rows["columns"] == ["without text_input", "all 6", "WRONG"]


def test_a_folder_is_checked_for_every_set(tmp_path: Path, check: Check) -> None:
    prompts(tmp_path)
    code, _, said = check("--benchmark", "gpt-oss", tmp_path)
    assert code == 1
    assert [line for line in said.splitlines() if line.startswith("gpt-oss,")] == [
        "gpt-oss, performance set: 1 wrong",
        "gpt-oss, accuracy set: 1 wrong",
        "gpt-oss, compliance set: 1 wrong",
    ]
    assert "no perf/perf_eval_ref.parquet in it" in said


def test_a_pickle_is_not_opened(tmp_path: Path, check: Check) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "opened",)

    for name in ("x.pkl", "renamed.parquet"):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
        code, _, said = check("--benchmark", "gpt-oss", tmp_path / name)
        assert code == 1
        assert f"{name}: a pickle, which may run any program when it is opened, so it is not opened here" in said
        assert f"pandas.read_pickle('{name}')" in said
        assert "To get it" in said
    assert not (tmp_path / "opened").exists()


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_small("qwen3-vl", tmp_path / "products")
    official(monkeypatch, "qwen3-vl", Kind.PERFORMANCE, samples=12)
    monkeypatch.setattr("loadtest.benchmarks.product_prompt.JsonPrompt.deviation", None)
    return tmp_path / "products"


def test_products_as_the_hub_gives_them(catalogue: Path, check: Check) -> None:
    for file in (catalogue / "data").iterdir():
        metadata = catalogue / ".cache/huggingface/download/data" / f"{file.name}.metadata"
        metadata.parent.mkdir(parents=True, exist_ok=True)
        metadata.write_text(f"{COMMIT}\n{hashlib.sha256(file.read_bytes()).hexdigest()}\n1.0\n")
    code, rows, said = check("--benchmark", "qwen3-vl", catalogue)
    assert (code, said.splitlines()[0]) == (0, "qwen3-vl, performance set: all as it should be")
    assert rows["revision, by the hub"] == [COMMIT, COMMIT, "ok"]
    assert rows["SHA256 of test-00000-of-00001.parquet, by the hub"][2] == "ok"
    damaged = catalogue / "data/test-00000-of-00001.parquet"
    table = pq.read_table(damaged)
    pq.write_table(table.set_column(1, "product_title", pa.array(["other"] * table.num_rows)), damaged)
    metadata.write_text(metadata.read_text().replace(COMMIT, "0" * 40))
    code, rows, _ = check("--benchmark", "qwen3-vl", catalogue)
    assert {name for name, cells in rows.items() if cells[-1] == "WRONG"} == {
        "SHA256 of test-00000-of-00001.parquet, by the hub",
        "revision, by the hub",
    }


def test_products_that_are_wrong(catalogue: Path, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.benchmarks.product_prompt.JsonPrompt.deviation", "asks otherwise")
    file = catalogue / "data/test-00000-of-00001.parquet"
    rows = pq.read_table(file).to_pylist()
    rows[0]["product_image"]["bytes"] = b"no picture"
    rows[1]["product_image"] = None
    rows[2]["potential_product_categories"] = []
    pq.write_table(pa.Table.from_pylist(rows), file)
    code, found, said = check("--benchmark", "qwen3-vl", catalogue)
    assert code == 1
    assert found["products without a readable picture"] == ["2: row 9, row 10", "0", "WRONG"]
    assert found["products without a category, or categories to choose from"] == ["1: row 11", "0", "WRONG"]
    assert found["SHA-256 of train-00000-of-00001.parquet"][1:] == ["not published"]
    assert said.splitlines()[-1] == "asks otherwise"
    code, found, said = check("--benchmark", "qwen3-vl", "--set", "interactive", catalogue)
    assert found["samples"] == ["12", "8,000", "WRONG"]
    assert "hf download nvidia/Shopify-product-catalogue-8k" in said


def test_a_column_too_few(catalogue: Path, check: Check) -> None:
    for file in (catalogue / "data").iterdir():
        pq.write_table(pq.read_table(file).drop_columns(["product_title"]), file)
    code, rows, said = check("--benchmark", "qwen3-vl", catalogue)
    assert (code, rows["columns"]) == (1, ["without product_title", "all 7", "WRONG"])
    assert rows["usable"] == ["no", "yes", "WRONG"]
    assert "column product_title is missing" in said


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_small("whisper", tmp_path / "speech")
    main(["repack-librispeech", str(tmp_path / "speech"), str(tmp_path / "speech")])
    official(monkeypatch, "whisper", Kind.PERFORMANCE, samples=3)
    return tmp_path / "speech"


def test_clips_as_mlcommons_gives_them(clips: Path, check: Check) -> None:
    wavs = [f"dev-all-repack/{file.name}" for file in (clips / "dev-all-repack").iterdir()]
    write_list(clips / "whisper-dataset.md5", "dev-all-repack.json", *wavs)
    code, rows, _ = check("--benchmark", "whisper", clips)
    assert code == 0
    assert rows["MD5 of dev-all-repack.json, by whisper-dataset.md5"][2] == "ok"
    assert rows["of 3 wav files with a recorded MD5, others than that"] == ["0", "0", "ok"]
    audio, rate = soundfile.read(clips / wavs[0], dtype="int16")
    soundfile.write(clips / wavs[0], audio[::-1], rate)
    code, rows, _ = check("--benchmark", "whisper", clips)
    assert (code, rows["of 3 wav files with a recorded MD5, others than that"][0]) == (1, f"1: {Path(wavs[0]).name}")


def test_clips_that_are_wrong(clips: Path, check: Check) -> None:
    entries = json.loads((clips / "dev-all-repack.json").read_text())
    entries[0]["transcript"] = "Mr. Dashwood"
    entries[1]["original_duration"] = 31.0
    entries += [entries[2], {"transcript": "no file"}]
    (clips / "dev-all-repack.json").write_text(json.dumps(entries))
    soundfile.write(clips / "dev-all-repack/116-288045_0.wav", np.zeros((8000, 2), np.int16), 8000)
    code, rows, _ = check("--benchmark", "whisper", clips)
    assert code == 1
    wrong = {name: cells[0] for name, cells in rows.items() if cells[-1] == "WRONG"}
    assert wrong.pop("clips that are missing or not described").startswith("1: clip 4 lacks files[].fname, transcript")
    stereo = "116-288045_0.wav (8000 Hz, 2 channels, PCM_16)"
    assert wrong == {
        "samples": "5",
        "wav files of another form than 16 kHz, mono, 16 bits": (
            f"3: 84-121550_0.wav (5.30 s instead of 31.00 s), {stereo}, {stereo}"
        ),
        "clips longer than 30 s": "1: 84-121550_0.wav",
        "transcripts not in lower case": "1: 84-121123_0.wav",
        "files named twice": "1: 116-288045_0.wav",
    }


def test_what_cannot_be_asked(tmp_path: Path, check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--benchmark", "whisper", "--set", "interactive", tmp_path)[0] == 2
    assert check("--benchmark", "whisper", tmp_path / "absent")[0] == 1
    assert main(["make-small", "--benchmark", "whisper", str(tmp_path)]) == 2
    assert main(["repack-librispeech", str(tmp_path), str(tmp_path / "out")]) == 2
    assert "expected the folders dev-clean and dev-other" in capsys.readouterr().err


def test_scripts_get_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--benchmark", "qwen3-vl", str(tmp_path / "absent"), "--json"]) == 1
    checked = json.loads(capsys.readouterr().out)
    assert next(finding["what"] for found in checked["sets"] for finding in found["findings"]) == "usable"
    assert checked["advice"]
