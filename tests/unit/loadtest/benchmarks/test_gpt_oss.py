from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.benchmarks import harmony
from loadtest.benchmarks.base import BadReply, DataError, Mode, Served
from loadtest.benchmarks.gpt_oss import GptOss, decode_tokens, encode_tokens


def write(path: Path, **changes: Any) -> Path:
    columns = {
        "input_tokens": [[1, 2, 3], [4, 5]],
        "num_tokens": [3, 2],
        "text_input": ["a", "b"],
        "original_messages": ["[]", "[]"],
        "ground_truth": ["B", "73"],
        "dataset": ["gpqa_diamond", "aime25"],
    } | changes
    pq.write_table(pa.table({name: column for name, column in columns.items() if column is not None}), path)
    return path


@given(st.lists(st.integers(0, 201_087)))
def test_a_response_is_little_endian_int32(ids: list[int]) -> None:
    data = encode_tokens(ids)
    assert list(struct.unpack(f"<{len(ids)}i", data)) == ids
    assert decode_tokens(data) == ids


def test_the_official_request(tmp_path: Path) -> None:
    prompts = GptOss().load(write(tmp_path / "p.parquet"), Mode.PERFORMANCE)
    assert [prompts.work(index) for index in range(2)] == [3, 2]
    body = json.loads(prompts.body(0, Served("m"), Mode.PERFORMANCE))
    assert body == {
        "model": "m",
        "prompt": [1, 2, 3],
        "max_tokens": 10240,
        "min_tokens": 1,
        "temperature": 1.0,
        "top_p": 1.0,
        "stop_token_ids": [200002, 200012],
        "skip_special_tokens": False,
        "return_token_ids": True,
    }
    assert json.loads(prompts.body(0, Served("m"), Mode.ACCURACY))["max_tokens"] == 32768
    assert prompts.deviations(Served("m", 131_072), Mode.ACCURACY) == []


def test_a_small_model_gets_shorter_answers_and_the_summary_says_so(tmp_path: Path) -> None:
    prompts = GptOss().load(write(tmp_path / "p.parquet"), Mode.PERFORMANCE)
    small = Served("m", 100)
    assert json.loads(prompts.body(0, small, Mode.PERFORMANCE))["max_tokens"] == 97
    assert prompts.deviations(small, Mode.PERFORMANCE) == ["answers end where the model's 100 tokens do, not at 10240"]
    with pytest.raises(DataError, match="prompt 0 has 3 tokens and 'm' takes 4"):
        prompts.body(0, Served("m", 4), Mode.PERFORMANCE)


def test_the_reference_implementations_column_name_does_too(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", input_tokens=None, tok_input=[[7], [8]])
    assert GptOss().load(path, Mode.PERFORMANCE, limit=1).token_ids[0].tolist() == [7]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": None, "ground_truth": None}, "column ground_truth, dataset is missing"),
        ({"input_tokens": None}, "no column input_tokens or tok_input"),
        ({"input_tokens": [[1], []]}, "prompt 1 is empty"),
    ],
)
def test_a_file_that_is_wrong_says_how(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        GptOss().load(write(tmp_path / "p.parquet", **changes), Mode.PERFORMANCE)


def test_no_parquet_at_all(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(DataError, match="not a readable parquet file"):
        GptOss().load(tmp_path / "x.parquet", Mode.PERFORMANCE)
    with pytest.raises(DataError, match="no such parquet file"):
        GptOss().load(tmp_path / "absent", Mode.PERFORMANCE)


@pytest.mark.parametrize("reply", [b"", b"[]", b'{"choices": []}', b'{"choices": [{"text": "no ids"}]}'])
def test_a_reply_without_token_ids(reply: bytes) -> None:
    with pytest.raises(BadReply):
        GptOss().answer(reply)


def test_repeats_weigh_as_one_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        tmp_path / "p.parquet",
        input_tokens=[[1]] * 13,
        num_tokens=[1] * 13,
        text_input=[""] * 13,
        original_messages=[""] * 13,
        ground_truth=["B"] * 5 + ["73"] * 8,
        dataset=["gpqa_diamond"] * 5 + ["aime25"] * 8,
    )
    texts = {1: "<|channel|>final<|message|>B<|return|>", 2: "so \\boxed{73}"}
    monkeypatch.setattr("loadtest.benchmarks.gpt_oss.harmony_text", lambda ids: texts[ids[0]])
    prompts = GptOss().load(path, Mode.ACCURACY)
    answers = {index: encode_tokens([1 if index < 7 else 2]) for index in range(13)}
    score = prompts.score(answers)
    # 5 of 5 repeats of one GPQA question, 6 of 8 of one AIME question.
    assert score.value == pytest.approx(100 * (5 / 5 + 6 / 8) / 2)
    assert score.detail["aime25"] == {"right": 6, "asked": 8}


def test_what_needs_its_own_tool_is_left_out_openly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.benchmarks.gpt_oss.harmony_text", lambda ids: "B")
    path = write(tmp_path / "p.parquet", dataset=["gpqa_diamond", "livecodebench_v6"])
    score = GptOss().load(path, Mode.ACCURACY).score({0: encode_tokens([1]), 1: encode_tokens([1])})
    assert score.value is None
    assert score.detail["not_scored_here"] == ["livecodebench_v6"]
    assert score.detail["gpqa_diamond"]["right"] == 1


def test_harmony_text_of_ids_that_are_no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def decode(self, ids: list[int]) -> str:
            raise OverflowError if ids[0] < 0 else RuntimeError

    monkeypatch.setattr(harmony, "harmony_encoding", Broken)
    assert harmony.harmony_text([-1]) == harmony.harmony_text([999_999]) == ""
