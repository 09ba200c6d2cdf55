"""What can go wrong with a checkpoint."""

from __future__ import annotations


class CheckpointError(Exception):
    """A checkpoint cannot be had. The message says what was looked for and what to do."""


class SourceUnavailable(Exception):
    """One source cannot give its files, and why; the next source is tried."""
