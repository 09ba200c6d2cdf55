"""Mooncake's traces (kvcache-ai/Mooncake, FAST25-release): milliseconds, lengths, a hash per block of 512 tokens."""

from __future__ import annotations

from loadtest.traces.forms.base import count, ids, number
from loadtest.traces.rows import Row
from loadtest.traces.trace import TraceRequest

BLOCK_TOKENS = 512


class Mooncake:
    """JSONL. `hash_ids` covers the whole prompt, its last block in part, and may be left out."""

    name = "mooncake"
    columns = frozenset({"timestamp", "input_length", "output_length"})

    def request(self, row: Row) -> tuple[float, TraceRequest]:
        request = TraceRequest(
            at_s=0.0,
            input_tokens=count(row, "input_length"),
            output_tokens=count(row, "output_length"),
            blocks=ids(row["hash_ids"], "hash_ids") if "hash_ids" in row else (),
            block_tokens=BLOCK_TOKENS,
        )
        return number(row, "timestamp") / 1000, request
