from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.traces.forms.own import jsonl
from loadtest.traces.generators import generate
from loadtest.traces.loading import brief, load_trace
from loadtest.traces.trace import TraceError


def test_a_spec_a_file_and_either_for_a_model(tmp_path: Path) -> None:
    made = generate("poisson:count=3", 5)
    assert load_trace("poisson:count=3", 5) == made
    file = tmp_path / "saved.jsonl"
    file.write_text(jsonl(made.requests))
    assert load_trace(str(file)).requests == made.requests
    assert load_trace(f"model=m:{file}").name == f"model=m:{file}"
    assert {request.model for request in load_trace("model=m:poisson:count=3").requests} == {"m"}


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("nowhere.jsonl", "'nowhere.jsonl' is neither a file nor one of the generators shared-prefix"),
        ("model=m", "not of the form model=MODEL:TRACE"),
        ("model=:poisson", "not of the form model=MODEL:TRACE"),
    ],
)
def test_what_is_neither(named: str, why: str) -> None:
    with pytest.raises(TraceError, match=why):
        load_trace(named)


def test_a_brief_name_has_no_settings() -> None:
    assert brief("poisson:count=3") == brief("poisson") == "poisson"
    assert brief("model=m:poisson:count=3") == "m:poisson"
    assert brief("model=m:folder/trace.jsonl") == "m:trace"
