from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadtest.batch.lines import LineError, read_lines
from loadtest.batch.run import looked_over

CHAT = "/v1/chat/completions"


def line(custom_id: str = "a", **changes: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": {"model": "m", "messages": []}} | changes


def jsonl(folder: Path, *lines: object) -> Path:
    file = folder / "in.jsonl"
    file.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    return file


def test_lines_come_in_order_with_their_numbers(tmp_path: Path) -> None:
    found = list(read_lines(jsonl(tmp_path, line("a"), "", line("ü", url="/v1/completions"))))
    assert [(one.number, one.custom_id, one.url) for one in found] == [(1, "a", CHAT), (3, "ü", "/v1/completions")]
    assert json.loads(found[0].body) == {"model": "m", "messages": []}


def test_a_model_of_the_command_replaces_that_of_the_lines(tmp_path: Path) -> None:
    (one,) = read_lines(jsonl(tmp_path, line(body={"messages": []})), model="other")
    assert (one.model, json.loads(one.body)["model"]) == ("other", "other")


@pytest.mark.parametrize("as_text", [True, False])
def test_parquet_is_read_like_json(as_text: bool, tmp_path: Path) -> None:
    file = tmp_path / "in.parquet"
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    rows = [line(str(n), body=json.dumps(body) if as_text else body) for n in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), file)
    found = list(read_lines(file))
    assert [one.custom_id for one in found] == ["0", "1", "2"]
    assert [json.loads(one.body) for one in found] == [body] * 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{broken", "in.jsonl:2: no batch line"),
        ("[]", "in.jsonl:2: no batch line"),
        (json.dumps({"custom_id": "b"}), "missing required field"),
        (line("b", method="GET"), "method is 'GET'"),
        (line("b", url="/v1/audio/transcriptions"), "a batch may ask /v1/chat/completions"),
        (line(""), "custom_id must have 1 to 512"),
        (line("b", body={"messages": []}), "body.model is missing"),
        (line("b", body={"model": "m", "stream": True}), "stream is set"),
        (line("a"), "custom_id 'a' is that of line 1 too"),
    ],
)
def test_a_wrong_line_is_named(wrong: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(LineError, match=r"in\.jsonl:2: ") as refused:
        looked_over(jsonl(tmp_path, line("a"), wrong), None)
    assert said in str(refused.value)


def test_an_empty_file_and_one_that_is_no_parquet(tmp_path: Path) -> None:
    with pytest.raises(LineError, match="no line in it"):
        looked_over(jsonl(tmp_path), None)
    file = tmp_path / "in.parquet"
    file.write_text("{}")
    with pytest.raises(LineError, match="not a readable parquet file"):
        list(read_lines(file))
    pq.write_table(pa.table({"custom_id": ["a"]}), file)
    with pytest.raises(LineError, match="column body, method, url is missing"):
        list(read_lines(file))


def test_models_are_those_of_the_lines(tmp_path: Path) -> None:
    contents = looked_over(jsonl(tmp_path, line("a"), line("b", body={"model": "n"}), line("c")), None)
    assert (contents.lines, contents.models) == (3, {"m": 1, "n": 2})
