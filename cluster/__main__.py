"""What is to be served, and what it is served on: `python -m cluster COMMAND`, see --help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import yaml

from cluster.checkpoints import RECIPES, CheckpointError, prepare_all
from cluster.doctor import doctor
from cluster.fleet import Fleet, deployment_name
from cluster.keys import digest, new_key
from cluster.kuberay import Images, NotForPods, manifest
from cluster.loading import DEFAULT_FLEET, FleetError, load_fleet
from cluster.placement import actor_options
from cluster.rehearsal import local_yaml
from cluster.status import status


def validate(fleet: Fleet) -> None:
    replicas = sum(pool.min_replicas for model in fleet.models for pool in model.pools)
    pools = sum(len(model.pools) for model in fleet.models)
    print(f"fleet '{fleet.name}' is valid: {len(fleet.models)} models, {pools} pools, {replicas} replicas at start")


def show(fleet: Fleet) -> None:
    """Prints the whole fleet with every default filled in, then what each replica asks of Ray."""
    print(yaml.safe_dump(fleet.model_dump(mode="json"), sort_keys=False, width=120), end="")
    print("# each replica asks of Ray:")
    for model in fleet.models:
        for pool in model.pools:
            wanted = f"{pool.min_replicas}..{pool.most_replicas} x {actor_options(pool)}"
            print(f"#   {deployment_name(model, pool)}: {wanted}")


def prepare(fleet: Fleet) -> None:
    """Prepares the fleet's embedded checkpoints in the cache; hub repositories are left to the engine."""
    embedded = [model.checkpoint for model in fleet.models if model.checkpoint in RECIPES]
    for name, folder in prepare_all(embedded, fleet.cache_folder).items():
        print(f"{name}: {folder}")


def key() -> None:
    """Prints a new key and its digest. The key is kept nowhere."""
    made = new_key()
    print(f"key:    {made}  (for the client; it is shown only now)")
    print(f"sha256: {digest(made)}  (for a tenant's `key_sha256` in the fleet file)")


def local() -> None:
    """Prints what cluster/local.yaml is to hold."""
    print(local_yaml(), end="")


COMMANDS = {"validate": validate, "show": show, "prepare": prepare}
WITHOUT_FLEET: dict[str, Callable[[], int | None]] = {"key": key, "local": local, "doctor": doctor}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, does in (
        ("validate", "say whether a fleet file is right, and what is wrong with it"),
        ("show", "print a fleet with every default filled in"),
        ("prepare", "fetch and convert a fleet's embedded checkpoints"),
    ):
        command = commands.add_parser(name, help=does)
        needed = None if name != "prepare" else "?"
        command.add_argument("fleet", nargs=needed, default=DEFAULT_FLEET, help="a fleet file, or a preset's name")
    pods = commands.add_parser("kuberay", help="print a fleet as a RayService of KubeRay, for Kubernetes and OpenShift")
    pods.add_argument("fleet", help="a fleet file, or a preset's name")
    pods.add_argument("--registry", required=True, help="of the images mixfleet-head, mixfleet-nvidia and mixfleet-amd")
    pods.add_argument("--tag", default="latest", help="of the images (latest)")
    pods.add_argument("--namespace", default="default", help="(default)")
    pods.add_argument("--claim", default="checkpoints", help="volume claim of the folder all pods share (checkpoints)")
    commands.add_parser("key", help="make a new random key for a tenant, and its digest for the fleet file")
    commands.add_parser("doctor", help="say what this machine or Ray cluster can run, and what is missing")
    state = commands.add_parser("status", help="show nodes, pools and replicas of the Ray cluster that runs here")
    state.add_argument("--watch", action="store_true", help="again every two seconds, until Ctrl-C")
    commands.add_parser("local", help="print cluster.yaml made for processes on this machine: cluster/local.yaml")
    chosen = parser.parse_args(arguments)
    if chosen.command == "status":
        return status(chosen.watch)
    if chosen.command in WITHOUT_FLEET:
        return WITHOUT_FLEET[chosen.command]() or 0
    try:
        fleet = load_fleet(chosen.fleet)
        if chosen.command == "kuberay":
            print(manifest(fleet, Images(chosen.registry, chosen.tag), chosen.namespace, chosen.claim), end="")
        else:
            COMMANDS[chosen.command](fleet)
    except (FleetError, CheckpointError, NotForPods) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
