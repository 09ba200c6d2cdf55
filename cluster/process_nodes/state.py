"""Which nodes of which clusters this machine plays, in one file that several processes read and change.

A cluster has a range of loopback addresses of its own, 127.N.0.0/16, for as long as it has a node.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from filelock import FileLock

FIRST_RANGE, LAST_RANGE = 64, 254
NODES_PER_BLOCK = 250
LOCK_TIMEOUT_S = 30


class Node(msgspec.Struct):
    """`ports` are those that Ray would have fixed ones for, by what they are for."""

    address: str
    tags: dict[str, str]
    ports: dict[str, int]


class Cluster(msgspec.Struct):
    range: int
    next: int = 0
    nodes: dict[str, Node] = {}


class State(msgspec.Struct):
    clusters: dict[str, Cluster] = {}


class StateFile:
    """The file `nodes.json` of a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "nodes.json"
        self._lock = FileLock(folder / "nodes.lock", timeout=LOCK_TIMEOUT_S)

    def read(self) -> State:
        """What stands there now."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=State)
        except FileNotFoundError:
            return State()

    @contextmanager
    def changing(self) -> Iterator[State]:
        """What stands there, to be changed; nobody else changes it meanwhile, and a failure changes nothing."""
        with self._lock:
            state = self.read()
            yield state
            written = self._file.with_suffix(".new")
            written.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
            written.replace(self._file)


def add_node(state: State, cluster: str, tags: dict[str, str], ports: tuple[str, ...]) -> str:
    """A further node of a cluster, the first of which makes it. Returns its id. Raises RuntimeError where no range of
    addresses is free."""
    if cluster not in state.clusters:
        taken = {other.range for other in state.clusters.values()}
        free = next((number for number in range(FIRST_RANGE, LAST_RANGE + 1) if number not in taken), None)
        if free is None:
            raise RuntimeError(f"{len(taken)} clusters of processes run on this machine; end one with `ray down`")
        state.clusters[cluster] = Cluster(free)
    entry = state.clusters[cluster]
    block, place = divmod(entry.next, NODES_PER_BLOCK)
    node = f"node-{entry.next}"
    entry.nodes[node] = Node(
        f"127.{entry.range}.{block}.{place + 1}", tags, dict(zip(ports, _new_ports(state, len(ports)), strict=True))
    )
    entry.next += 1
    return node


def remove_node(state: State, cluster: str, node: str) -> None:
    """Forgets a node, and with the last one its cluster."""
    entry = state.clusters.get(cluster)
    if entry is not None:
        entry.nodes.pop(node, None)
        if not entry.nodes:
            del state.clusters[cluster]


def _new_ports(state: State, count: int) -> list[int]:
    """Free ones that no node has been given: it may not listen yet."""
    given = {
        port for cluster in state.clusters.values() for node in cluster.nodes.values() for port in node.ports.values()
    }
    while given & set(ports := free_ports(count)):
        continue
    return ports


def free_ports(count: int) -> list[int]:
    """Different ports that nothing listens on, chosen by the OS."""
    sockets = [socket.create_server(("", 0)) for _ in range(count)]
    try:
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()
