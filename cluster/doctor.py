"""`python -m cluster doctor`: what this machine or this Ray cluster can run, what is missing, and how to get it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from cluster.command_line import print_json
from cluster.loading import DEFAULT_FLEET, load_fleet, presets
from cluster.machine import ENGINES, Machine, this_machine
from cluster.nodes import NodeKind, alive, kinds_of, node_kinds
from cluster.option_types import Json
from cluster.ray_address import LOCAL, RayAddressError, ray_address
from cluster.running_ray import cluster_to_join
from cluster.shortage import shortages
from cluster.vendors import VENDOR_LABEL
from cluster.versions import RAY, VLLM

PYTHON = (3, 11)
MEMORY_GIB, DISK_GIB = 16, 5
"""Of the embedded fleet."""


@dataclass(frozen=True)
class Finding:
    """`remedy` is what to do; '' where all is well. `needed` by the default fleet on this machine."""

    what: str
    remedy: str = ""
    needed: bool = True


def examine(machine: Machine, kinds: Sequence[NodeKind] | None) -> Iterator[Finding]:
    """`kinds` are those of the Ray cluster that runs here; None where none runs."""
    yield _python(machine)
    yield _ray(machine)
    yield _engine(machine)
    yield _size(
        "memory", machine.memory, MEMORY_GIB, "the embedded fleet's three engines want it; use a larger machine"
    )
    yield _size("free disk", machine.disk, DISK_GIB, "checkpoints are kept there; free some, or set XDG_CACHE_HOME")
    port = load_fleet(DEFAULT_FLEET).gateway.port
    busy = "" if machine.port_is_free else "something listens there; end it, or set `gateway.port` in the fleet file"
    yield Finding(f"port {port} {'is free' if machine.port_is_free else 'is taken'}", busy)
    for vendor, count in machine.gpus.items():
        if count:
            yield Finding(f"{count} GPUs of {vendor}", _tag(vendor, count, kinds), needed=False)
    yield _cluster(kinds)
    for name in presets():
        yield _fleet(name, kinds if kinds is not None else [NodeKind.of("this machine", {}, {"CPU": machine.cpus})])


def doctor(*, as_json: Json = False) -> int:
    """0: the default fleet can run here; 1: it cannot; 2: RAY_ADDRESS leads to no cluster."""
    try:
        kinds = _of_running_cluster()
    except RayAddressError as error:
        print(error, file=sys.stderr)
        return 2
    found = list(examine(this_machine(load_fleet(DEFAULT_FLEET).gateway.port), kinds))
    fits = not any(finding.needed and finding.remedy for finding in found)
    if as_json:
        print_json({"ok": fits, "findings": [{**asdict(one), "ok": not one.remedy} for one in found]})
        return 0 if fits else 1
    for finding in found:
        print(f"{'no  ' if finding.remedy else 'ok  '}{finding.what}")
        if finding.remedy:
            print(f"      -> {finding.remedy}")
    return 0 if fits else 1


def _of_running_cluster() -> list[NodeKind] | None:
    try:
        import ray
    except ImportError:
        return None
    if (address := cluster_to_join(ray_address())) == LOCAL:
        return None
    try:
        ray.init(address=address, logging_level="ERROR", log_to_driver=False)
    except ConnectionError:
        return None
    try:
        known = node_kinds()
        return kinds_of(alive(), {}) if known is None else known
    finally:
        ray.shutdown()


def _python(machine: Machine) -> Finding:
    remedy = "" if machine.python >= PYTHON else f"Python {'.'.join(map(str, PYTHON))} or newer is needed: install one"
    return Finding(f"Python {'.'.join(map(str, machine.python))}", remedy)


def _ray(machine: Machine) -> Finding:
    there = machine.packages.get("ray")
    remedy = "" if there == RAY else f"all nodes need Ray {RAY}: scripts/environment.sh .venv embedded"
    return Finding(f"Ray {there or 'is not installed'}", remedy)


def _engine(machine: Machine) -> Finding:
    there = {name: machine.packages[name] for name in ENGINES if name in machine.packages}
    told = ", ".join(f"{name} {found}, for {ENGINES[name]}" for name, found in there.items())
    if len(there) > 1:
        return Finding(f"vLLM: {told}", "these exclude each other: make a new environment with scripts/environment.sh")
    if not there:
        return Finding(
            "vLLM is not installed", "scripts/environment.sh .venv embedded (or nvidia); AMD: vLLM's ROCm image"
        )
    matches = all(found.startswith(VLLM) for found in there.values())
    return Finding(f"vLLM: {told}", "" if matches else f"version {VLLM} is what this project is tested with")


def _size(what: str, there: float, needed: int, remedy: str) -> Finding:
    return Finding(f"{there:.0f} GiB of {what}", "" if there >= needed else f"{needed} GiB are needed: {remedy}")


def _tag(vendor: str, count: int, kinds: Sequence[NodeKind] | None) -> str:
    if kinds is not None and any(kind.has({VENDOR_LABEL: vendor}) for kind in kinds):
        return ""
    return (
        f"no Ray node has the label that pools are placed by: ray start ... --labels {VENDOR_LABEL}={vendor} "
        f"--resources '{{\"{vendor}\": {count}}}'"
    )


def _cluster(kinds: Sequence[NodeKind] | None) -> Finding:
    if kinds is None:
        return Finding("no Ray cluster runs here: one is started for a fleet on this machine alone")
    return Finding(f"a Ray cluster: {'; '.join(map(str, kinds))}")


def _fleet(name: str, kinds: Sequence[NodeKind]) -> Finding:
    lacking = shortages(load_fleet(name), kinds)
    told = [line.partition("; looked at")[0] for line in lacking]
    verdict = "does not fit" if lacking else "fits"
    return Finding(f"fleet {name} {verdict}", "\n         ".join(told), needed=name == DEFAULT_FLEET)
