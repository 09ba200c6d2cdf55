"""Splitwise's form, as vidur keeps its traces (microsoft/vidur): seconds and lengths."""

from __future__ import annotations

from loadtest.traces.forms.base import count, number
from loadtest.traces.rows import Row
from loadtest.traces.trace import TraceRequest


class Splitwise:
    name = "splitwise"
    columns = frozenset({"arrived_at", "num_prefill_tokens", "num_decode_tokens"})

    def request(self, row: Row) -> tuple[float, TraceRequest]:
        request = TraceRequest(0.0, count(row, "num_prefill_tokens"), count(row, "num_decode_tokens"))
        return number(row, "arrived_at"), request
