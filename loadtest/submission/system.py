"""The description of the system under test: 35 fields, from the runs' fleet where it tells, else from the user."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loadtest.command import Refused
from loadtest.submission.runs import Run

MAY_BE_EMPTY = (
    *("host_processor_frequency", "host_processor_caches", "host_processor_interconnect", "accelerator_frequency"),
    *("accelerator_interconnect_topology", "accelerator_on-chip_memories", "hw_notes", "sw_notes"),
    "system_type_detail",
)
REQUIRED = (
    *("division", "submitter", "status", "system_name", "number_of_nodes", "host_processor_model_name"),
    *("host_processors_per_node", "host_processor_core_count", "host_memory_capacity", "host_storage_capacity"),
    *("host_storage_type", "accelerators_per_node", "accelerator_model_name", "accelerator_memory_capacity"),
    *("framework", "operating_system", "system_type", "other_software_stack", "host_memory_configuration"),
    *("host_networking", "host_networking_topology", "accelerator_host_interconnect", "accelerator_interconnect"),
    *("accelerator_memory_configuration", "cooling", "host_network_card_count"),
)
"""The checker's own two lists; together they are the 35."""

STATUSES = ("available", "preview", "rdi")
TYPES = ("datacenter", "edge", "datacenter,edge")
COUNTS = ("number_of_nodes", "accelerators_per_node")
"""Text here ends the checker itself: a mixed system is described by the accelerators' name."""


def accelerators(run: Run) -> Counter[str]:
    """How many of each the run's replicas hold: "NVIDIA H200" -> 8."""
    found: Counter[str] = Counter()
    for replica in run.replicas:
        found[f"{replica['vendor'].upper()} {(replica['accelerator'] or 'unnamed').upper()}"] += int(
            replica["tensor_parallel"]
        )
    return found


def from_fleet(run: Run) -> dict[str, str | int]:
    """The fields that a run's fleet tells. A mixed system is named as earlier ones were: "A (x8) and B (x8)"."""
    per_node: Counter[str] = Counter()
    for replica in run.replicas:
        per_node[urlsplit(replica["url"]).hostname or ""] += int(replica["tensor_parallel"])
    counted = accelerators(run)
    names = [f"{name} (x{count})" for name, count in counted.items()] if len(counted) > 1 else list(counted)
    engines = sorted({f"vLLM {r['engine_version']} ({r['engine']})" for r in run.replicas if r["engine_version"]})
    versions = run.summary.get("versions", {})
    return {
        "accelerator_model_name": " and ".join(names),
        "accelerators_per_node": max(per_node.values(), default=0),
        "number_of_nodes": len(per_node),
        "framework": " and ".join(engines),
        "other_software_stack": ", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
        "system_type": "datacenter",
    }


def template(run: Run) -> dict[str, Any]:
    """All fields, filled as far as the fleet tells; the user fills in the rest."""
    known = from_fleet(run)
    blank: dict[str, Any] = {name: known.get(name, "") for name in (*REQUIRED, *MAY_BE_EMPTY)}
    return {name: value for name, value in blank.items() if name not in ("division", "submitter")}


def describe(file: Path, run: Run, division: str, submitter: str) -> dict[str, Any]:
    """The fields of SYSTEM.json over those of the fleet. Raises Refused with everything that is wrong or missing."""
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(f"{file}: not readable JSON: {error}") from None
    if not isinstance(given, dict):
        raise Refused(f"{file}: a system is a JSON object of its fields")
    told = {name: value for name, value in given.items() if value not in ("", None)}
    empty = dict.fromkeys(MAY_BE_EMPTY, "")
    system = {**empty, **from_fleet(run), **told, "division": division, "submitter": submitter}
    wrong = list(_wrong(system))
    if wrong:
        raise Refused(f"{file} does not describe a system:\n" + "\n".join(f"  {one}" for one in wrong))
    return {name: system[name] for name in (*REQUIRED, *MAY_BE_EMPTY)}


def _wrong(system: Mapping[str, Any]) -> list[str]:
    found = [f"'{name}' is missing" for name in REQUIRED if system.get(name) in ("", None, 0)]
    found += [f"unknown field '{name}'" for name in system if name not in REQUIRED and name not in MAY_BE_EMPTY]
    for name in COUNTS:
        try:
            int(str(system.get(name) or 1))
        except ValueError:
            found.append(f"'{name}' must be a whole number, not '{system[name]}': name each kind in the model name")
    if system.get("status") and system["status"] not in STATUSES:
        found.append(f"'status' is one of {', '.join(STATUSES)}")
    if system.get("system_type") not in TYPES:
        found.append(f"'system_type' is one of {' | '.join(TYPES)}")
    return found
