"""The forms of trace files: which columns mean what. A file's form is told by the names of its columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from loadtest.traces.forms.azure import Azure
from loadtest.traces.forms.base import Form
from loadtest.traces.forms.mooncake import Mooncake
from loadtest.traces.forms.own import Own
from loadtest.traces.forms.splitwise import Splitwise
from loadtest.traces.rows import Row, numbered_rows
from loadtest.traces.trace import Trace, TraceError, TraceRequest

FORMS: tuple[Form, ...] = (Own(), Mooncake(), Azure(), Splitwise())


def read_trace(file: Path) -> Trace:
    """The trace in a file, by arrival, from 0 s on. Raises TraceError with the file and the line of what is wrong."""
    form: Form | None = None
    requests: list[tuple[float, TraceRequest]] = []
    for number, row in numbered_rows(file):
        form = form or _form(file, number, row)
        try:
            requests.append(form.request(row))
        except KeyError as missing:
            raise TraceError(f"{file}:{number}: column {missing} is missing") from None
        except (TraceError, ValueError, TypeError) as error:
            raise TraceError(f"{file}:{number}: {error}") from None
    if not requests:
        raise TraceError(f"{file}: holds no rows")
    requests.sort(key=lambda timed: timed[0])
    first = requests[0][0]
    return Trace(file.stem, tuple(replace(request, at_s=time_s - first) for time_s, request in requests))


def _form(file: Path, number: int, row: Row) -> Form:
    for form in FORMS:
        if form.columns <= row.keys():
            return form
    columns = ", ".join(map(str, row)) or "(none)"
    known = "; ".join(f"{form.name}: {', '.join(sorted(form.columns))}" for form in FORMS)
    raise TraceError(f"{file}:{number}: the columns {columns} are of no known form; name them as one of these: {known}")
