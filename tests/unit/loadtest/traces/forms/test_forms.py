from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadtest.traces.forms import read_trace
from loadtest.traces.forms.own import jsonl
from loadtest.traces.trace import ImageRef, Trace, TraceError, TraceRequest
from tests.support.skips import skip_reason

MOONCAKE = '{"timestamp": 2500, "input_length": 600, "output_length": 5, "hash_ids": [0, 7]}\n'
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,10\r\n"
DATA = Path(__file__).parents[6] / "shared/data/traces"


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, newline="")
    return file


def test_mooncake(tmp_path: Path) -> None:
    later = MOONCAKE.replace("2500", "4000").replace("[0, 7]", "[0, 9]")
    trace = read_trace(written(tmp_path, "t.jsonl", MOONCAKE + "\n" + later))
    assert trace == Trace("t", (TraceRequest(0.0, 600, 5, (0, 7)), TraceRequest(1.5, 600, 5, (0, 9))))


def test_azure(tmp_path: Path) -> None:
    rows = AZURE + "2023-11-16 18:17:04.2299600,3180,8\r\n"
    trace = read_trace(written(tmp_path, "t.csv", rows))
    assert [(r.at_s, r.input_tokens, r.output_tokens, r.blocks) for r in trace.requests] == [
        (0.0, 4808, 10, ()),
        (pytest.approx(0.25), 3180, 8, ()),
    ]


def test_the_form_is_told_by_columns_not_by_the_kind_of_file(tmp_path: Path) -> None:
    azure = '{"TIMESTAMP": "2024-05-10T00:00:00.5+00:00", "ContextTokens": 3, "GeneratedTokens": 2}\n'
    assert read_trace(written(tmp_path, "a.jsonl", azure)).requests == (TraceRequest(0.0, 3, 2),)
    mooncake = "output_length,timestamp,input_length\n5,0,600\n"
    assert read_trace(written(tmp_path, "m.csv", mooncake)).requests == (TraceRequest(0.0, 600, 5),)
    splitwise = ",arrived_at,num_prefill_tokens,num_decode_tokens\n0,3.5,600,5\n"
    assert read_trace(written(tmp_path, "s.csv", splitwise)).requests == (TraceRequest(0.0, 600, 5),)


def test_rows_out_of_order_are_sorted(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, "t.jsonl", MOONCAKE.replace("2500", "9000") + MOONCAKE))
    assert [request.at_s for request in trace.requests] == [0.0, 6.5]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("t.jsonl", MOONCAKE + "{", r"t.jsonl:2: no JSON"),
        ("t.jsonl", MOONCAKE + "[1]", r"t.jsonl:2: a row must be a JSON object"),
        ("t.jsonl", MOONCAKE + '{"timestamp": 1, "input_length": 2}', r"t.jsonl:2: column 'output_length' is missing"),
        ("t.jsonl", MOONCAKE + MOONCAKE.replace("600", "0"), r"t.jsonl:2: has 0 input tokens"),
        ("t.jsonl", MOONCAKE.replace("600", '"many"'), r"t.jsonl:1: input_length is 'many', not a number"),
        ("t.jsonl", MOONCAKE.replace("600", "6.5"), r"input_length is 6.5, not a whole number"),
        ("t.jsonl", MOONCAKE.replace("600", "NaN"), r"input_length is nan, not a number"),
        ("t.jsonl", MOONCAKE.replace("[0, 7]", "[0, true]"), r"hash_ids is \[0, True\], not a list of whole numbers"),
        ("t.jsonl", MOONCAKE.replace("[0, 7]", "[0, 7, 8]"), r"names 3 blocks of 512 tokens for 600"),
        ("t.jsonl", '{"a": 1}', r"t.jsonl:1: the columns a are of no known form; .*mooncake: hash|input_length"),
        ("t.jsonl", "\n", r"holds no rows"),
        ("t.csv", AZURE + "today,1,2\n", r"t.csv:3: TIMESTAMP is 'today', not a time"),
        ("t.csv", AZURE + "2023-11-16 18:17:03,1\n", r"t.csv:3: not as many values"),
        ("t.csv", AZURE + "2023-11-16 18:17:03,1,2,3\n", r"t.csv:3: not as many values"),
        ("t.txt", AZURE, r"a trace file ends in .jsonl or .csv"),
        ("t.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n", r"holds no rows"),
        ("t.jsonl", '{"at_s": 0, "input_tokens": 3, "output_tokens": 1, "blokcs": [1]}', r"unknown columns blokcs"),
        ("t.jsonl", '{"at_s": 0, "input_tokens": 3, "output_tokens": 1, "images": [3]}', r"image 3 must be an object"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, name: str, text: str, why: str) -> None:
    with pytest.raises(TraceError, match=why):
        read_trace(written(tmp_path, name, text))


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TraceError, match=r"t.csv: cannot be read"):
        read_trace(file)


REQUESTS = st.builds(
    TraceRequest,
    at_s=st.floats(0, 1e6),
    input_tokens=st.integers(100, 10_000),
    output_tokens=st.integers(1, 500),
    blocks=st.lists(st.integers(0, 99), max_size=4).map(tuple),
    block_tokens=st.integers(1, 16),
    images=st.lists(st.builds(ImageRef, st.integers(0, 9), st.integers(1, 9)), max_size=2).map(tuple),
    audio_s=st.floats(0, 100),
    session=st.none() | st.text(min_size=1, max_size=5),
    model=st.none() | st.text(min_size=1, max_size=5),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(REQUESTS, min_size=1, max_size=5))
def test_what_is_written_is_read_again(tmp_path: Path, requests: list[TraceRequest]) -> None:
    requests.sort(key=lambda request: request.at_s)
    trace = Trace("t", tuple(requests)).window(0, len(requests))
    text = jsonl(trace.requests)
    assert read_trace(written(tmp_path, "t.jsonl", text)) == trace
    assert all(set(json.loads(line)) >= {"at_s", "input_tokens", "output_tokens"} for line in text.splitlines())


@pytest.mark.skipif(not DATA.is_dir(), reason=skip_reason("published-traces"))
@pytest.mark.parametrize(
    ("name", "requests", "hit_rate"),
    [("mooncake_conversation.jsonl", 12_031, 0.374), ("azure_2023_code.csv", 8_819, 0.0)],
)
def test_the_published_traces_have_their_known_figures(name: str, requests: int, hit_rate: float) -> None:
    statistics = read_trace(DATA / name).statistics
    assert statistics.requests == requests
    assert statistics.token_hit_rate == pytest.approx(hit_rate, abs=5e-4)
