from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadtest.batch import lines
from loadtest.batch.lines import LineError, read_lines
from loadtest.batch.run import looked_over

CHAT = "/v1/chat/completions"


def line(custom_id: str = "a", **changes: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": {"model": "m", "messages": []}} | changes


def jsonl(folder: Path, *written: object) -> Path:
    file = folder / "in.jsonl"
    file.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in written))
    return file


def test_lines_come_in_order_with_their_numbers(tmp_path: Path) -> None:
    found = list(read_lines(jsonl(tmp_path, line("a"), "", line("ü", url="/v1/completions"))))
    assert [(one.number, one.custom_id, one.url) for one in found] == [(1, "a", CHAT), (3, "ü", "/v1/completions")]
    assert json.loads(found[0].body) == {"model": "m", "messages": []}


def test_a_model_of_the_command_replaces_that_of_the_lines(tmp_path: Path) -> None:
    (one,) = read_lines(jsonl(tmp_path, line(body={"messages": []})), model="other")
    assert (one.model, json.loads(one.body)["model"]) == ("other", "other")


BODIES: list[dict[str, Any]] = [
    {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5},
    {"model": "m", "messages": [{"role": "user", "content": "hi", "name": "Bo"}, {"role": "user", "content": ""}]},
    {"model": "m", "messages": [], "stop": ["a", "b"]},
]


def parquet(folder: Path, *rows: dict[str, Any]) -> Path:
    file = folder / "in.parquet"
    pq.write_table(pa.Table.from_pylist(list(rows)), file)
    return file


@pytest.mark.parametrize("column", [json.dumps, lambda body: json.dumps(body).encode(), lambda body: body])
def test_parquet_is_read_like_json(column: Callable[[Any], Any], tmp_path: Path) -> None:
    found = list(read_lines(parquet(tmp_path, *(line(str(n), body=column(body)) for n, body in enumerate(BODIES)))))
    assert [(one.number, one.custom_id) for one in found] == [(1, "0"), (2, "1"), (3, "2")]
    assert [json.loads(one.body) for one in found] == BODIES


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (line(body="{"), "no batch line"),
        (line(body='{"model": "m"}, "custom_id": "another"'), "no batch line"),
        (line(body="[]"), "Expected `object`"),
        (line(custom_id=7), "Expected `str`"),
        (line(body=None) | {"url": None}, "Expected `"),
    ],
)
def test_a_wrong_row_is_named(row: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(LineError, match=r"in\.parquet:1: ") as refused:
        list(read_lines(parquet(tmp_path, row)))
    assert said in str(refused.value)


def test_what_is_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_LINE_BYTES", 2**20)
    long = line(body={"model": "m", "prompt": "x" * 2**20})
    with pytest.raises(LineError, match=r"in\.jsonl:2: the line is longer than 1 MiB"):
        list(read_lines(jsonl(tmp_path, line(), long)))
    with pytest.raises(LineError, match=r"in\.parquet:1: the body is longer than 1 MiB"):
        list(read_lines(parquet(tmp_path, long)))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{broken", "in.jsonl:2: no batch line"),
        ("[]", "in.jsonl:2: no batch line"),
        (json.dumps({"custom_id": "b"}), "missing required field"),
        (line("b", method="GET"), "method is 'GET'"),
        (line("b", url="/v1/audio/transcriptions"), "a batch may ask /v1/chat/completions"),
        (line(""), "custom_id must have 1 to 512"),
        ('{"custom_id": "b", "method": "POST", "url": "' + CHAT + '", "body": {"x": ' + "[" * 10**5, "recursion"),
        ('{"custom_id": "b", "method": "POST", "url": "' + CHAT + '", "body": {"model": "\\ud800"}}', "no batch line"),
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


def test_a_byte_order_mark_before_the_lines_is_nothing(tmp_path: Path) -> None:
    file = jsonl(tmp_path, line("a"), line("b"))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert [one.custom_id for one in read_lines(file)] == ["a", "b"]


def test_parquet_is_known_by_its_suffix_in_any_case(tmp_path: Path) -> None:
    file = parquet(tmp_path, line("a", body=json.dumps(BODIES[0])))
    assert [one.custom_id for one in read_lines(file.rename(tmp_path / "IN.PARQUET"))] == ["a"]
