"""The processes of a fake fleet on a Ray of this process: actors, engines, and what stands beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import requests

from tests.support.process_table import descendants, parent, with_arguments


def replicas(url: str) -> dict[str, dict[str, Any]]:
    """Pool -> what its replica announces, of the pools that have one, as a gateway process knows it."""
    (model,) = requests.get(f"{url}/fleet", timeout=30).json()["models"]
    return {replica["pool"]: replica for replica in model["replicas"]}


def processes_of(replica: dict[str, Any]) -> tuple[int, int, int]:
    """Process ids of a replica's engine, of the engine's guard and of the actor."""
    port = replica["url"].rsplit(":", 1)[1]
    both = with_arguments("deployments.engine.fake", "--port", port)
    guards = both & with_arguments("deployments.engine.guard")
    # Another test's engine, at another address, may have the same port.
    (engine,) = [pid for pid in both - guards if parent(pid) in guards]
    return engine, parent(engine), parent(parent(engine))


def actor(title: str) -> int:
    """The process of the one actor of this process's Ray whose title begins so."""
    (found,) = actors(title)
    return found


def actors(title: str) -> set[int]:
    return {pid for pid in descendants() if _title(pid).startswith(f"ray::{title}")}


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
