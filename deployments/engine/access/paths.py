"""Files that a fleet names once for all nodes."""

from __future__ import annotations

from pathlib import Path


def on_this_node(file: str) -> str:
    """Its path here: `~` is the home of the user on this node, not of whoever wrote the fleet file."""
    return str(Path(file).expanduser())
