"""Azure's traces of 2023 and 2024 (Azure/AzurePublicDataset): points in time and lengths, no word on prefixes."""

from __future__ import annotations

from datetime import UTC, datetime

from loadtest.traces.forms.base import count
from loadtest.traces.rows import Row
from loadtest.traces.trace import TraceError, TraceRequest


class Azure:
    name = "azure"
    columns = frozenset({"TIMESTAMP", "ContextTokens", "GeneratedTokens"})

    def request(self, row: Row) -> tuple[float, TraceRequest]:
        request = TraceRequest(0.0, count(row, "ContextTokens"), count(row, "GeneratedTokens"))
        return _seconds(row["TIMESTAMP"]), request


def _seconds(text: object) -> float:
    """Since the epoch; a time without a zone is UTC."""
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        raise TraceError(f"TIMESTAMP is {text!r}, not a time such as 2023-11-16 18:17:03.97") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
