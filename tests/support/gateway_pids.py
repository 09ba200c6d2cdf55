"""Which gateway processes serve: all but the one that a supervisor keeps in reserve."""

from __future__ import annotations

import re
from pathlib import Path

from deployments.local_ray import logs_folder
from tests.support.process_table import of_session, with_arguments
from tests.support.processes import fake_fleet

SERVES = re.compile(r"gateway process (\d+) \(pid (\d+)\) serves after ([\d.]+) s")


def serving_pids(log: Path) -> list[int]:
    """By a supervisor's log, the processes that accept connections or were the last to do so, by their number."""
    latest = {int(slot): int(pid) for slot, pid, _ in SERVES.findall(log.read_text())}
    return [pid for _, pid in sorted(latest.items())]


def serving_on_ray() -> set[int]:
    """Ids of those that serve a fake fleet on the Ray that this process is connected to."""
    running = with_arguments("deployments.gateway.process") & of_session()
    return running & set(serving_pids(logs_folder() / f"gateway-{fake_fleet().name}.log"))
