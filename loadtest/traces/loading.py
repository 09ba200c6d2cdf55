"""Traces as a user names them: a generator's spec or a file, on its own or for one model of a mix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from loadtest.traces.forms import read_trace
from loadtest.traces.generators import GENERATORS, generate
from loadtest.traces.trace import Trace, TraceError

FOR_MODEL = "model="


def load_trace(named: str, seed: int = 0) -> Trace:
    """`NAME[:KEY=VALUE,...]` of a generator, or a file; `model=MODEL:` before it says whom its requests ask.

    Raises TraceError.
    """
    if named.startswith(FOR_MODEL):
        model, colon, rest = named.removeprefix(FOR_MODEL).partition(":")
        if not (model and colon and rest):
            raise TraceError(f"'{named}' is not of the form model=MODEL:TRACE")
        trace = load_trace(rest, seed)
        return Trace(named, tuple(replace(request, model=model) for request in trace.requests))
    if named.partition(":")[0] in GENERATORS:
        return generate(named, seed)
    if Path(named).is_file():
        return read_trace(Path(named))
    raise TraceError(f"'{named}' is neither a file nor one of the generators {', '.join(GENERATORS)}")


def brief(named: str) -> str:
    """What to call it where there is no room for its settings: `NAME`, or `MODEL:NAME` in a mix."""
    if named.startswith(FOR_MODEL):
        model, _, rest = named.removeprefix(FOR_MODEL).partition(":")
        return f"{model}:{brief(rest)}"
    generator = named.partition(":")[0]
    return generator if generator in GENERATORS else Path(named).stem
