"""A fleet file on a port of its own, so that its fleet disturbs no other on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from cluster.addresses import http_address, listening_host
from cluster.fleet import Fleet
from deployments.engine.process import free_port


def on_free_port(fleet: Fleet, folder: Path, **changes: Any) -> tuple[Path, str]:
    """Writes the fleet with these changes into a file of `folder`: the file, and the address of its gateway."""
    host = fleet.gateway.host
    gateway = fleet.gateway.model_copy(update={"port": free_port(listening_host(host))})
    content = fleet.model_copy(update={**changes, "gateway": gateway}).model_dump(mode="json", exclude_defaults=True)
    file = folder / "fleet.yaml"
    file.write_text(yaml.safe_dump(content))
    return file, http_address(host, gateway.port)
