"""How the files of a rehearsal are marked, each kind so that it can still be read as what it is."""

from __future__ import annotations

import json
from pathlib import Path

MARK = "REHEARSAL: not a submission, not an MLPerf result"
MARK_FILE = "REHEARSAL.md"


def marked(name: str, content: bytes) -> bytes:
    """A key in JSON objects; a first line elsewhere, behind a # as LoadGen's settings and logs, YAML and Python have
    comments. A JSON list and a truncated log, which hold no words of ours, get none: their names are in MARK_FILE."""
    suffix = Path(name).suffix
    if suffix == ".json":
        try:
            read = json.loads(content)
        except ValueError:
            return content
        return encoded({"rehearsal": MARK, **read}) if isinstance(read, dict) else content
    return f"# {MARK}\n".encode() + content


def encoded(content: dict[str, object]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def is_rehearsal(folder: Path) -> bool:
    """Whether a folder is a rehearsal's tree, or lies in one."""
    return any((above / MARK_FILE).exists() for above in (folder, *folder.parents))
