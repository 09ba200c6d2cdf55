"""What the commands of this package have in common."""

from __future__ import annotations

import argparse

INTERRUPTED = 130
"""Exit status after SIGINT, as shells have it."""


class Refused(RuntimeError):
    """The test could not be run, and why."""


def positive(text: str) -> float:
    """An argument that is a positive number."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be a positive number")
    return value


def at_least_one(text: str) -> int:
    """An argument that counts something."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value
