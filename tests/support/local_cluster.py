"""Clusters of processes on this machine, as a user types them: `ray up`, `ray exec`, `ray down`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.autoscaler.tags import TAG_RAY_USER_NODE_TYPE

from cluster.process_nodes.marked import MARKER
from cluster.process_nodes.provider import default_root
from cluster.process_nodes.state import StateFile
from deployments.engine.process import PROJECT_ROOT

PROGRAMS = Path(sys.executable).parent
FILE = PROJECT_ROOT / "cluster" / "local.yaml"
WITHIN_S = 180


@dataclass(frozen=True)
class LocalCluster:
    """A cluster of cluster/local.yaml by its name."""

    name: str

    def start(
        self, command: str, *arguments: str, output: Any = subprocess.PIPE, **options: Any
    ) -> subprocess.Popen[str]:
        """`ray COMMAND -n NAME ARGUMENTS...`, with `FILE` among them."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        return subprocess.Popen(
            [str(PROGRAMS / "ray"), command, "-n", self.name, *arguments],
            cwd=PROJECT_ROOT,
            env=environment | {"PATH": f"{PROGRAMS}:{os.environ['PATH']}"},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            # In the background SIGINT is ignored, by all that is started there, too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **options,
        )

    def run(self, command: str, *arguments: str) -> str:
        """What it prints. Raises AssertionError where it fails."""
        process = self.start(command, *arguments)
        try:
            output, _ = process.communicate(timeout=WITHIN_S)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 0, output[-4000:]
        return output

    def up(self) -> None:
        self.run("up", "-y", "--no-config-cache", str(FILE))

    def down(self) -> None:
        self.run("down", "-y", str(FILE))

    def execute(self, command: str) -> str:
        """What a command prints on the head node."""
        return self.run("exec", "--no-config-cache", str(FILE), command)

    def nodes(self) -> dict[Path, str]:
        """Home of each node that was asked for, the head's among them -> its type."""
        root = default_root()
        there = StateFile(root).read().clusters[self.name].nodes
        return {root / self.name / name: node.tags[TAG_RAY_USER_NODE_TYPE] for name, node in there.items()}

    def addresses(self) -> dict[str, str]:
        """Address of each node -> its type."""
        nodes = StateFile(default_root()).read().clusters[self.name].nodes.values()
        return {node.address: node.tags[TAG_RAY_USER_NODE_TYPE] for node in nodes}

    def processes(self) -> list[int]:
        """Of all of its nodes."""
        start = f"{MARKER}=".encode()
        within = f"/{self.name}/".encode()
        return [
            int(folder.name)
            for folder in Path("/proc").glob("[0-9]*")
            if any(v.startswith(start) and within in v for v in _environment(folder))
        ]


@contextmanager
def local_cluster(name: str) -> Iterator[LocalCluster]:
    """Up as long as the block lasts."""
    cluster = LocalCluster(name)
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()


def make_token() -> None:
    """Ray's token of this user, where there is none yet."""
    subprocess.run([str(PROGRAMS / "ray"), "get-auth-token", "--generate"], check=True, capture_output=True, timeout=60)


def _environment(folder: Path) -> list[bytes]:
    try:
        return (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
