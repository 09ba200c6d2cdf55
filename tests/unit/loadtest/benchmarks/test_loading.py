"""Data sets as they lie on disk after a download, and files that are none."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.benchmarks.base import DataError, Mode
from loadtest.benchmarks.catalogue_file import read_products, write_products
from loadtest.benchmarks.gpt_oss import GptOss
from loadtest.benchmarks.parquet import BATCH_ROWS
from loadtest.benchmarks.prompt_file import read_prompts
from loadtest.benchmarks.speech_manifest import MANIFEST, manifest_entry, read_clips
from loadtest.benchmarks.whisper import Whisper


def write_tokens(file: Path, ids: pa.Array, truths: list[Any] | None = None) -> Path:
    count = len(ids)
    columns = {"input_tokens": ids, "ground_truth": truths or ["A"] * count, "dataset": ["GPQA_diamond"] * count}
    pq.write_table(pa.table(columns), file)
    return file


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.large_list(pa.int32()), pa.list_(pa.float64())])
def test_token_ids_of_any_width(tmp_path: Path, kind: pa.DataType) -> None:
    rows = read_prompts(write_tokens(tmp_path / "p.parquet", pa.array([[1, 201_087], [3]], kind)))
    assert [row.ids.tolist() for row in rows] == [[1, 201_087], [3]]
    assert {row.dataset for row in rows} == {"gpqa_diamond"}


@given(st.lists(st.lists(st.integers(0, 201_087), min_size=1, max_size=5), min_size=1, max_size=12), st.integers(1, 14))
def test_the_first_prompts_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, ids: list[list[int]], limit: int
) -> None:
    file = write_tokens(tmp_path_factory.mktemp("p") / "p.parquet", pa.array(ids, pa.list_(pa.int32())))
    assert [row.ids.tolist() for row in read_prompts(file, limit)] == ids[:limit]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (pa.array(["1 2"]), "holds string instead of lists of token ids"),
        (pa.array([["a"]]), "holds something else than token ids"),
        (pa.array([[2**40]]), "holds something else than token ids"),
        (pa.array([[1], None], pa.list_(pa.int32())), "prompt 1 is empty"),
        (pa.array([], pa.list_(pa.int32())), "holds no rows"),
    ],
)
def test_token_ids_that_are_none(tmp_path: Path, ids: pa.Array, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_prompts(write_tokens(tmp_path / "p.parquet", ids))


def test_a_prompt_without_a_right_answer(tmp_path: Path) -> None:
    ids = pa.array([[1]] * 2, pa.list_(pa.int32()))
    assert [row.truth for row in read_prompts(write_tokens(tmp_path / "p.parquet", ids, [73.0, None]))] == ["73.0", ""]


@pytest.mark.parametrize("name", ["perf_eval_ref.pkl", "renamed.parquet"])
def test_a_pickle_is_refused_with_a_way_out(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({"input_tokens": [[1]]}))
    with pytest.raises(DataError, match=rf"a pickle, .*\n.*pandas\.read_pickle\('{name}'\)\.to_parquet\("):
        GptOss().load(tmp_path / name, Mode.PERFORMANCE)


def product(number: int) -> dict[str, Any]:
    return {"product_title": str(number), "product_image": None, "potential_product_categories": []}


def test_no_more_is_read_than_asked_for(tmp_path: Path) -> None:
    """The real catalogue is gigabytes: a quick run must not wait for all of it."""
    (tmp_path / "data").mkdir()
    count = 2 * BATCH_ROWS + 5
    write_products(tmp_path / "data/train-0.parquet", [product(number) for number in range(count)])
    (tmp_path / "data/train-1.parquet").write_bytes(b"not to be opened")
    for limit in (1, BATCH_ROWS, BATCH_ROWS + 1, count):
        titles = read_products(tmp_path, limit).column("product_title").to_pylist()
        assert titles == [str(number) for number in range(limit)]
    with pytest.raises(DataError, match=r"train-1\.parquet: not a readable parquet file"):
        read_products(tmp_path, count + 1)


def test_no_catalogue_says_how_to_get_it(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DataError, match=r"no such parquet file(.|\n)*hf download Shopify/product-catalogue"):
            read_products(path)


def put_clips(folder: Path, names: list[str], below: str = "dev-all-repack") -> None:
    """A manifest that names files so, and the files where MLCommons' downloader puts them."""
    (folder / below).mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / below / Path(name).name).write_bytes(b"RIFF")
    entries = [manifest_entry(name, 16_000, "a word") for name in names]
    (folder / MANIFEST).write_text(json.dumps(entries))


@pytest.mark.parametrize("prefix", ["./data/dev-all-repack/", "data/data/dev-all-repack/", "/data/dev-all-repack/", ""])
@pytest.mark.parametrize("below", ["", "data", "dataset"])
def test_manifests_name_files_from_where_they_were_made(tmp_path: Path, prefix: str, below: str) -> None:
    folder = tmp_path / below
    put_clips(folder, [f"{prefix}1-2_0.wav", f"{prefix}1-2_1.wav"], "dev-all-repack" if prefix else "")
    (folder / "dev-all.json").write_text("[]")  # the utterances, which come with the download
    clips = Whisper().load(tmp_path, Mode.PERFORMANCE).clips
    assert [clip.file.name for clip in clips] == ["1-2_0.wav", "1-2_1.wav"]
    assert all(clip.file.is_file() and clip.file.is_relative_to(folder) for clip in clips)


def test_a_file_where_the_manifest_says_comes_first(tmp_path: Path) -> None:
    put_clips(tmp_path / "here", ["made/1.wav"], "")
    put_clips(tmp_path / "here/other", ["1.wav"], "")
    (tmp_path / "here/made").mkdir()
    (tmp_path / "here/made/1.wav").write_bytes(b"RIFF")
    (clip,) = read_clips(tmp_path / "here" / MANIFEST)
    assert clip.file == tmp_path / "here/made/1.wav"


def test_only_the_copy_at_normal_speed_counts(tmp_path: Path) -> None:
    put_clips(tmp_path, ["1.wav"], "")
    (entry,) = json.loads((tmp_path / MANIFEST).read_text())
    entry["files"].insert(0, {"fname": "1-0.9.wav", "speed": 0.9})
    (tmp_path / MANIFEST).write_text(json.dumps([entry]))
    assert read_clips(tmp_path / MANIFEST)[0].file.name == "1.wav"
    entry["files"].pop()
    (tmp_path / MANIFEST).write_text(json.dumps([entry]))
    with pytest.raises(DataError, match=r"clip 0 lacks files\[\]\.fname"):
        read_clips(tmp_path / MANIFEST)


def test_two_manifests(tmp_path: Path) -> None:
    for name in ("a", "b"):
        put_clips(tmp_path / name, ["1.wav"], "")
    with pytest.raises(DataError, match=r"found a/dev-all-repack\.json, b/dev-all-repack\.json; name the manifest"):
        Whisper().load(tmp_path, Mode.PERFORMANCE)


def test_no_speech_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file or folder(.|\n)*whisper-dataset\.uri(.|\n)*repack-librispeech"):
        Whisper().load(tmp_path / "absent", Mode.PERFORMANCE)
