"""The cluster file for one machine: the real one, with processes for machines."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from cluster.cache_folder import CACHE_VARIABLE

REAL = Path(__file__).parents[1] / "cluster.yaml"
PROVIDER = {"type": "external", "module": "cluster.process_nodes.provider.ProcessNodeProvider"}
CPUS_PER_NODE = 4
"""What a node is told to have: as many nodes as there are share this machine's."""
MOST_NODES = 2
"""Of each type."""
OBJECT_STORE_BYTES = 100_000_000
ENV = "--env "
"""Begins the container's options that set a variable: those hold for nodes without a container too."""

ADDRESSES = (
    (
        "--head --port=6379 --dashboard-host=127.0.0.1",
        "--head --port=$NODE_GCS_PORT --node-ip-address=$NODE_ADDRESS --dashboard-host=$NODE_ADDRESS "
        "--dashboard-port=$NODE_DASHBOARD_PORT --ray-client-server-port=$NODE_CLIENT_PORT "
        f"--dashboard-agent-listen-port=$NODE_AGENT_PORT --object-store-memory={OBJECT_STORE_BYTES}",
    ),
    (
        "--address=$RAY_HEAD_IP:6379",
        "--address=$RAY_HEAD_IP:$NODE_GCS_PORT --node-ip-address=$NODE_ADDRESS "
        f"--dashboard-agent-listen-port=$NODE_AGENT_PORT --object-store-memory={OBJECT_STORE_BYTES}",
    ),
)
"""What start commands say of addresses, ports and sizes -> what they say where many nodes share a machine."""

HEADER = """\
# A cluster of processes on this machine: `ray up -y cluster/local.yaml`, `ray down -y cluster/local.yaml`.
# Made of cluster.yaml by `python -m cluster local > cluster/local.yaml`; edit that one.
"""


def rehearsal(real: dict[str, Any]) -> dict[str, Any]:
    """`real` with provider, counts, addresses and images replaced. This environment is the image: nothing is installed
    and the project is not copied."""
    config = deepcopy(real)
    options = [option.removeprefix(ENV) for option in config["docker"]["run_options"] if option.startswith(ENV)]
    variables = dict(option.split("=", 1) for option in options)
    variables.pop(CACHE_VARIABLE)  # the provider gives all nodes the user's own
    config["provider"] = PROVIDER | {"environment": variables}
    config["auth"] = {"ssh_user": "none"}
    config["docker"] = {}
    for kind in config["available_node_types"].values():
        kind["node_config"] = {}
        kind["resources"] |= {"CPU": CPUS_PER_NODE}
        kind["max_workers"] = min(kind["max_workers"], MOST_NODES)
        kind.pop("docker", None)
        kind.pop("worker_setup_commands", None)
    config["max_workers"] = sum(kind["max_workers"] for kind in config["available_node_types"].values())
    config["head_setup_commands"] = []
    del config["file_mounts"]["~/mixfleet"]
    for name in ("head_start_ray_commands", "worker_start_ray_commands"):
        config[name] = [_addressed(command) for command in config[name]]
    return config


def local_yaml() -> str:
    """The text of cluster/local.yaml."""
    real = yaml.safe_load(REAL.read_text())
    return HEADER + yaml.safe_dump(rehearsal(real), sort_keys=False, width=120)


def _addressed(command: str) -> str:
    for before, after in ADDRESSES:
        command = command.replace(before, after)
    return command
