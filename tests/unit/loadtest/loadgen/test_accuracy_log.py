"""Answers come back from LoadGen's accuracy log exactly as they went in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.benchmarks.gpt_oss import decode_tokens, encode_tokens
from loadtest.benchmarks.whisper import ALPHABET, decode_transcript, encode_transcript
from loadtest.loadgen.log import read_accuracy_log
from loadtest.loadgen.settings import LoadGenError

TOKENS = st.lists(st.integers(0, 201_087), max_size=30)
SPEECH = st.text(ALPHABET, max_size=60).map(str.strip)
TEXT = st.text(max_size=60)


def logged(file: Path, responses: dict[int, bytes], first: bytes | None = None) -> Path:
    """A log in LoadGen's form; that of an online test repeats the first token's bytes in `token_data`."""
    more = {} if first is None else {"token_data": first.hex().upper()}
    entries = [
        {"seq_id": place, "qsl_idx": index, **more, "data": data.hex().upper(), "token_count": 2}
        for place, (index, data) in enumerate(responses.items())
    ]
    file.write_text(json.dumps(entries))
    return file


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs") / "mlperf_log_accuracy.json"


@given(answers=st.dictionaries(st.integers(0, 5000), TOKENS), first=st.none() | st.just(encode_tokens([200_005])))
def test_token_ids(file: Path, answers: dict[int, list[int]], first: bytes | None) -> None:
    log = logged(file, {index: encode_tokens(ids) for index, ids in answers.items()}, first)
    assert {index: decode_tokens(data) for index, data in read_accuracy_log(log)} == answers


@given(answers=st.dictionaries(st.integers(0, 5000), SPEECH))
def test_transcripts(file: Path, answers: dict[int, str]) -> None:
    log = logged(file, {index: encode_transcript(text) for index, text in answers.items()})
    assert {index: decode_transcript(data) for index, data in read_accuracy_log(log)} == answers


@given(answers=st.dictionaries(st.integers(0, 5000), TEXT))
def test_texts(file: Path, answers: dict[int, str]) -> None:
    log = logged(file, {index: text.encode() for index, text in answers.items()}, b"{")
    assert {index: data.decode() for index, data in read_accuracy_log(log)} == answers


@given(data=st.binary(max_size=64))
def test_bytes_that_are_no_transcript_are_refused_or_read_back(data: bytes) -> None:
    try:
        text = decode_transcript(data)
    except ValueError:
        return
    assert encode_transcript(text) == data or text != text.strip()


@pytest.mark.parametrize("content", ["", "[", '[{"qsl_idx": 0}]', '[{"qsl_idx": 0, "data": "xy"}]', "[1]"])
def test_what_is_no_log(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(LoadGenError, match="not a complete accuracy log"):
        read_accuracy_log(file)


ONLINE = """
import sys, threading, time
from pathlib import Path
from loadtest.benchmarks.base import Mode, Scenario
from loadtest.benchmarks.gpt_oss import GptOss, encode_tokens
from loadtest.loadgen.session import complete, first_tokens, run_loadgen
from loadtest.loadgen.settings import TestPlan
def answer(responses, indexes):
    ids = [[200005, index, 201087, 0] for index in indexes]
    first_tokens([(response, encode_tokens(answer[:1])) for response, answer in zip(responses, ids)])
    time.sleep(0.001)
    complete([(response, encode_tokens(answer), len(answer)) for response, answer in zip(responses, ids)])
plan = TestPlan(GptOss.official, Mode.ACCURACY, 12, True, 100.0, Scenario.SERVER)
run_loadgen(plan, Path(sys.argv[1]), lambda *query: threading.Thread(target=answer, args=query).start())
"""


def test_loadgens_own_log_of_an_online_test(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", ONLINE, str(tmp_path)], capture_output=True, timeout=60)
    assert ended.returncode == 0, ended.stderr.decode()
    log = tmp_path / "quick_mlperf_log_accuracy.json"
    entries = json.loads(log.read_text())
    assert {entry["token_data"] for entry in entries} == {encode_tokens([200_005]).hex().upper()}
    read = {index: decode_tokens(data) for index, data in read_accuracy_log(log)}
    assert read == {index: [200_005, index, 201_087, 0] for index in range(12)}
