from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from loadtest.benchmarks.base import BadReply, DataError, Mode, Served
from loadtest.benchmarks.embedded_digits import write_digits
from loadtest.benchmarks.product_prompt import PLAIN_SYSTEM
from loadtest.benchmarks.qwen3_vl import Qwen3VL


def picture(width: int = 64, height: int = 32) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, format="JPEG")
    return buffer.getvalue()


def write(path: Path, images: list[bytes], **changes: Any) -> Path:
    count = len(images)
    columns = {
        "product_image": [{"bytes": image, "path": "x.jpg"} for image in images],
        "product_title": ["A shirt"] * count,
        "product_description": ["blue {with braces}"] * count,
        "potential_product_categories": [["A > B", "A > C"]] * count,
        "ground_truth_category": ["A > B"] * count,
        "ground_truth_brand": ["x"] * count,
        "ground_truth_is_secondhand": [False] * count,
    } | changes
    pq.write_table(pa.table({name: column for name, column in columns.items() if column is not None}), path)
    return path


def test_a_request_asks_for_a_json_object(tmp_path: Path) -> None:
    image = picture()
    catalogue = Qwen3VL().load(write(tmp_path / "p.parquet", [image]), Mode.PERFORMANCE)
    body = json.loads(catalogue.body(0, Served("m"), Mode.PERFORMANCE))
    assert set(body) == {"model", "messages", "max_tokens"}
    assert body["max_tokens"] == 150
    system, user = body["messages"]
    assert system == {"role": "system", "content": PLAIN_SYSTEM}
    text, url = user["content"]
    assert text["text"] == "Title: A shirt\nDescription: blue {with braces}\nCategories: ['A > B', 'A > C']"
    head, _, data = url["image_url"]["url"].partition(",")
    assert head == "data:image/JPEG;base64"
    assert base64.b64decode(data) == image


def test_only_the_reference_texts_are_no_deviation(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", [picture()])
    (deviation,) = Qwen3VL().load(path, Mode.PERFORMANCE).deviations(Served("m"), Mode.PERFORMANCE)
    assert "other words than MLCommons' reference" in deviation
    texts = {"system": "Be brief.", "user": "{title}: {description}, one of {categories}", "answer": "json"}
    (tmp_path / "prompt.json").write_text(json.dumps(texts))
    catalogue = Qwen3VL().load(path, Mode.PERFORMANCE)
    system, user = json.loads(catalogue.body(0, Served("m"), Mode.PERFORMANCE))["messages"]
    assert system["content"] == "Be brief."
    assert user["content"][0]["text"] == "A shirt: blue {with braces}, one of ['A > B', 'A > C']"
    assert len(catalogue.deviations(Served("m"), Mode.PERFORMANCE)) == 1


def test_shards_train_before_test_and_larger_pictures_are_more_work(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "test-0.parquet", [picture()], ground_truth_category=["last"])
    write(tmp_path / "data" / "train-0.parquet", [picture(), picture(640, 640)])
    catalogue = Qwen3VL().load(tmp_path, Mode.PERFORMANCE)
    assert len(catalogue) == 3
    assert catalogue.rows.column("ground_truth_category").to_pylist()[2] == "last"
    assert catalogue.work(1) > catalogue.work(0)


def test_scores_and_unreadable_answers(tmp_path: Path) -> None:
    catalogue = Qwen3VL().load(write(tmp_path / "p.parquet", [picture()] * 2), Mode.ACCURACY)
    good = json.dumps({"category": "A > B", "brand": "x", "is_secondhand": False}).encode()
    assert catalogue.score({0: good, 1: good}).value == 1.0
    fenced = b"```json\n" + good + b"\n```"
    score = catalogue.score({0: good, 1: fenced})
    assert (score.value, score.detail["unreadable"]) == (0.5, 1)


def test_the_embedded_digits(tmp_path: Path) -> None:
    write_digits(tmp_path)
    catalogue = Qwen3VL().load(tmp_path, Mode.PERFORMANCE)
    assert len(catalogue) == 360
    body = json.loads(catalogue.body(0, Served("m"), Mode.PERFORMANCE))
    url, text = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "What digit is this?"}
    assert body["temperature"] == 0
    assert url["image_url"]["url"].startswith("data:image/PNG;base64,")
    assert len(catalogue.deviations(Served("m"), Mode.PERFORMANCE)) == 1
    labels = catalogue.rows.column("ground_truth_category").to_pylist()
    right = {index: label.encode() for index, label in enumerate(labels)}
    assert catalogue.score(right).value == 1.0
    right[0] = b" 99 "
    assert catalogue.score(right).value == pytest.approx(359 / 360)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"question": "x"}',
        '{"question": "x", "answer": "brand"}',
        '{"system": "x", "answer": "json"}',
        '{"system": "x", "user": "{colour}", "answer": "json"}',
    ],
)
def test_a_broken_prompt_file(content: str, tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", [picture()])
    (tmp_path / "prompt.json").write_text(content)
    with pytest.raises(DataError, match=r"prompt\.json: expected"):
        Qwen3VL().load(path, Mode.PERFORMANCE)


def test_missing_columns_and_broken_pictures(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column product_title is missing"):
        Qwen3VL().load(write(tmp_path / "a.parquet", [picture()], product_title=None), Mode.PERFORMANCE)
    catalogue = Qwen3VL().load(write(tmp_path / "b.parquet", [b"no picture"]), Mode.PERFORMANCE)
    with pytest.raises(DataError, match="product 0 holds no readable picture"):
        catalogue.body(0, Served("m"), Mode.PERFORMANCE)


def test_replies() -> None:
    usage = {"completion_tokens": 2}
    reply = {"choices": [{"message": {"content": "é"}}], "usage": usage}
    answer = Qwen3VL().answer(json.dumps(reply).encode())
    assert (answer.data, answer.tokens) == ("é".encode(), 2)
    empty = Qwen3VL().answer(json.dumps({"choices": [{"message": {"content": None}}], "usage": usage}).encode())
    assert empty.data == b""
    for bad in (b"{", b'{"choices": []}', b'{"choices": [{"message": {"content": "x"}}]}'):
        with pytest.raises(BadReply):
            Qwen3VL().answer(bad)
