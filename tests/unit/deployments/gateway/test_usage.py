from __future__ import annotations

import pytest

from deployments.gateway.limits import Unit
from deployments.gateway.usage import used


@pytest.mark.parametrize(
    ("unit", "body", "amount"),
    [
        (Unit.TOKENS, b'{"id": 1, "usage": {"prompt_tokens": 5, "total_tokens": 12, "other": {}}}', 12),
        (Unit.AUDIO, b'{"text": "x", "usage": {"type": "duration", "seconds": 3}}', 3),
        (Unit.AUDIO, b'{"usage": {"total_tokens": 12}}', None),
        (Unit.TOKENS, b'{"usage": null}', None),
        (Unit.TOKENS, b'{"usage": {"total_tokens": "many"}}', None),
        (Unit.TOKENS, b'{"text": "x"}', None),
        (Unit.TOKENS, b"plain text", None),
        (Unit.TOKENS, b"", None),
        (Unit.TOKENS, b"[" * 100_000, None),
        (Unit.TOKENS, b'{"usage": "\xff"}', None),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_an_answer_says_of_its_cost(unit: Unit, body: bytes, amount: float | None) -> None:
    assert used(unit, body) == amount
