"""Hierarchical F1 of category paths, the metric of the Qwen3-VL benchmark."""

from __future__ import annotations

from collections.abc import Iterable

SEPARATOR = " > "


def levels(path: str) -> list[str]:
    return [level.strip() for level in path.split(SEPARATOR)]


def hierarchical_f1(pairs: Iterable[tuple[str | None, str]]) -> float:
    """F1 over (predicted path, true path), 0 to 1; None for an answer that could not be read.

    A predicted level counts while every level above it is right too. Precision and recall are summed over all pairs
    before dividing. An unread answer counts as a wrong path as long as the true one, as the official script pads it.
    """
    shared = predicted = true = 0
    for answer, truth in pairs:
        wanted = levels(truth)
        given = [""] * len(wanted) if answer is None else levels(answer)
        predicted += len(given)
        true += len(wanted)
        if answer is not None:
            shared += _common_prefix(given, wanted)
    if not shared:
        return 0.0
    precision, recall = shared / predicted, shared / true
    return 2 * (precision * recall) / (precision + recall)


def _common_prefix(left: list[str], right: list[str]) -> int:
    length = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        length += 1
    return length
