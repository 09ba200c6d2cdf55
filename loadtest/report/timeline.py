"""What happened when, to each request of a run: what plots are drawn from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

Times = npt.NDArray[np.float64]
SAMPLES, REQUESTS = "samples.parquet", "requests.parquet"


@dataclass(frozen=True)
class Timeline:
    """Arrays with an element a request, in seconds since the first was due; NaN where something did not happen.

    Attributes:
        due, sent, first, end: when it was to leave, left, had its first token and its last.
        tokens: of its answer.
        failed: whether there is no answer.
        pool, replica: who answered; '' where that is not known.
    """

    due: Times
    sent: Times
    first: Times
    end: Times
    tokens: Times
    failed: npt.NDArray[np.bool_]
    pool: list[str]
    replica: list[str]

    def __len__(self) -> int:
        return len(self.due)

    @property
    def e2e_s(self) -> Times:
        return np.where(self.failed, np.nan, self.end - self.due)

    @property
    def ttft_s(self) -> Times:
        return np.where(self.failed, np.nan, self.first - self.due)

    @property
    def tpot_s(self) -> Times:
        """NaN for an answer of one token."""
        more = np.where(self.tokens > 1, self.tokens - 1, np.nan)
        return np.where(self.failed, np.nan, (self.end - self.first) / more)

    @property
    def seconds(self) -> float:
        """From the first that was due to the last end."""
        return max((float(end) for end in self.end if not np.isnan(end)), default=0.0)

    @classmethod
    def of_samples(cls, table: pa.Table) -> Self:
        """Of samples.parquet: times since the epoch. Offline issues everything at its begin."""
        due, sent, end = (_floats(table, name) for name in ("due", "started", "finished"))
        begin = min((float(time) for times in (due, sent, end) for time in times[~np.isnan(times)]), default=math.nan)
        due = np.where(np.isnan(due), begin, due)
        return cls(
            due=due - begin,
            sent=sent - begin,
            first=_floats(table, "first") - begin,
            end=end - begin,
            tokens=_floats(table, "tokens"),
            failed=np.array([error is not None for error in table.column("error").to_pylist()], dtype=bool),
            pool=_words(table, "pool"),
            replica=_words(table, "replica"),
        )

    @classmethod
    def of_requests(cls, table: pa.Table) -> Self:
        """Of a replay's requests.parquet: times since its begin."""
        return cls(
            due=_floats(table, "due_s"),
            sent=_floats(table, "sent_s"),
            first=_floats(table, "first_token_s"),
            end=_floats(table, "end_s"),
            tokens=_floats(table, "output_tokens"),
            failed=np.array([failure is not None for failure in table.column("failure").to_pylist()], dtype=bool),
            pool=_words(table, "pool"),
            replica=_words(table, "replica"),
        )


def read_timeline(folder: Path) -> Timeline | None:
    """Of a run's or a replay's folder; None where neither file is there. Raises OSError, pyarrow.ArrowException."""
    if (file := folder / SAMPLES).is_file():
        return Timeline.of_samples(pq.read_table(file))
    if (file := folder / REQUESTS).is_file():
        return Timeline.of_requests(pq.read_table(file))
    return None


def _floats(table: pa.Table, name: str) -> Times:
    """NaN where there is no such column, as in runs of an earlier version."""
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    column = table.column(name).cast(pa.float64()).to_pylist()
    return np.array([np.nan if value is None else value for value in column], dtype=float)


def _words(table: pa.Table, name: str) -> list[str]:
    return [word or "" for word in table.column(name).to_pylist()] if name in table.column_names else []
