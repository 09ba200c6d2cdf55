"""The node provider: what Ray's autoscaler asks of a cloud."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ray.autoscaler.command_runner import CommandRunnerInterface
from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.tags import NODE_KIND_HEAD, TAG_RAY_NODE_KIND

from cluster.cache_folder import CACHE_VARIABLE, project_cache, user_cache
from cluster.process_nodes.marked import end_marked
from cluster.process_nodes.shell import NodeShell
from cluster.process_nodes.state import Node, StateFile, add_node, remove_node

PORTS = ("gcs", "dashboard", "client", "agent")


def default_root() -> Path:
    """The folder of all clusters' nodes: one for all clusters of a user, so that no two take the same addresses."""
    return project_cache() / "process-nodes"


class ProcessNodeProvider(NodeProvider):  # type: ignore[misc]  # Ray's classes have no types
    """Nodes of one cluster. In the cluster file, `provider.root` is the folder of all clusters' nodes, and
    `provider.environment` holds variables of their commands."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        self._root: Path = Path(provider_config.get("root", default_root())).expanduser()
        self._state = StateFile(self._root)

    @staticmethod
    def bootstrap_config(cluster_config: dict[str, Any]) -> dict[str, Any]:
        """Names folders in full: on the head node `~` is another. All nodes share the user's cache folder."""
        provider = cluster_config["provider"]
        root = Path(provider.get("root", default_root())).expanduser().absolute()
        variables = {CACHE_VARIABLE: str(user_cache()), **provider.get("environment", {})}
        variables = {name: os.path.expanduser(value) for name, value in variables.items()}  # noqa: PTH111
        return {**cluster_config, "provider": {**provider, "root": str(root), "environment": variables}}

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        return [node for node, entry in self._nodes().items() if tag_filters.items() <= entry.tags.items()]

    def is_running(self, node_id: str) -> bool:
        return node_id in self._nodes()

    def is_terminated(self, node_id: str) -> bool:
        return not self.is_running(node_id)

    def node_tags(self, node_id: str) -> dict[str, str]:
        return self._nodes()[node_id].tags

    def internal_ip(self, node_id: str) -> str:
        return self._nodes()[node_id].address

    def external_ip(self, node_id: str) -> str:
        return self.internal_ip(node_id)

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        with self._state.changing() as state:
            cluster = state.clusters.get(self.cluster_name)
            if cluster and node_id in cluster.nodes:
                cluster.nodes[node_id].tags |= tags

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, Any]:
        with self._state.changing() as state:
            made = [add_node(state, self.cluster_name, dict(tags), PORTS) for _ in range(count)]
            return {node: {"address": state.clusters[self.cluster_name].nodes[node].address} for node in made}

    def terminate_node(self, node_id: str) -> None:
        """Ends its processes and removes its home, then forgets it."""
        end_marked(self._name(node_id))
        shutil.rmtree(self._home(node_id), ignore_errors=True)
        with self._state.changing() as state:
            remove_node(state, self.cluster_name, node_id)
            if self.cluster_name not in state.clusters:
                # Before anybody else can make a cluster of this name.
                shutil.rmtree(self._temporary(), ignore_errors=True)
                shutil.rmtree(self._root / self.cluster_name, ignore_errors=True)

    def terminate_nodes(self, node_ids: list[str]) -> None:
        """All at once: each takes as long as the slowest of its processes."""
        with ThreadPoolExecutor(max(1, len(node_ids))) as threads:
            list(threads.map(self.terminate_node, node_ids))

    def get_command_runner(
        self,
        log_prefix: str,
        node_id: str,
        auth_config: dict[str, Any],
        cluster_name: str,
        process_runner: Any,
        use_internal_ip: bool,
        docker_config: dict[str, Any] | None = None,
    ) -> CommandRunnerInterface:
        return self._shell(node_id, self._nodes()[node_id])

    def _nodes(self) -> dict[str, Node]:
        cluster = self._state.read().clusters.get(self.cluster_name)
        return cluster.nodes if cluster else {}

    def _shell(self, node_id: str, entry: Node) -> NodeShell:
        heads = [node for node in self._nodes().values() if node.tags.get(TAG_RAY_NODE_KIND) == NODE_KIND_HEAD]
        ports = {**entry.ports, "gcs": (heads or [entry])[0].ports["gcs"]}
        environment = {f"NODE_{name.upper()}_PORT": str(port) for name, port in ports.items()}
        environment |= self.provider_config.get("environment", {})
        environment |= {"NODE_ADDRESS": entry.address, "RAY_TMPDIR": str(self._temporary())}
        return NodeShell(self._name(node_id), self._home(node_id), environment)

    def _name(self, node_id: str) -> str:
        """By which its processes are known on this machine."""
        return str(self._home(node_id))

    def _home(self, node_id: str) -> Path:
        return self._root.joinpath(self.cluster_name, node_id)

    def _temporary(self) -> Path:
        """Short, because Ray puts sockets below it, 70 characters further down, and a socket's path may have 107."""
        digest = hashlib.sha256(f"{self._root}/{self.cluster_name}".encode()).hexdigest()[:8]
        folder = Path(tempfile.gettempdir()) / f"mf-{digest}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat(follow_symlinks=False).st_uid != os.getuid():
            raise PermissionError(f"{folder} is another user's: remove it")
        return folder
