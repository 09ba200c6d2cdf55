"""Commands that read a fleet file: validate, show, prepare and kuberay; and two that print what a fleet needs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import yaml
from cyclopts import Parameter

from cluster.checkpoints.errors import CheckpointError
from cluster.command_line import print_json
from cluster.fleet import Fleet, Model, Pool, deployment_name
from cluster.keys import digest, new_key
from cluster.loading import DEFAULT_FLEET, FleetError, load_fleet
from cluster.open_fleet import open_to_all
from cluster.option_types import Json
from cluster.placement import actor_options

FleetName = Annotated[str, Parameter(help="A fleet file, or the name of a preset.", metavar="FLEET")]


def validate(fleet: FleetName, /, *, as_json: Json = False) -> int:
    """0: the file is valid; 2: it is not."""

    def print_summary(loaded: Fleet) -> None:
        counts = {
            "models": len(loaded.models),
            "pools": len(_pools(loaded)),
            "replicas": sum(pool.min_replicas for _, pool in _pools(loaded)),
        }
        if as_json:
            print_json({"fleet": loaded.name, "valid": True, **counts, "errors": []})
            return
        models, pools, replicas = counts.values()
        print(f"fleet '{loaded.name}' is valid: {models} models, {pools} pools, {replicas} replicas at start")

    def print_errors(error: Exception) -> None:
        if as_json:
            print_json({"fleet": fleet, "valid": False, "errors": str(error).splitlines()})
        else:
            print(error, file=sys.stderr)

    return _with_fleet(fleet, print_summary, print_errors)


def show(fleet: FleetName, /, *, as_json: Json = False) -> int:
    """0: the fleet is printed; 2: its file is not valid."""
    return _with_fleet(fleet, _print_fleet_json if as_json else _print_fleet)


def prepare(fleet: FleetName = DEFAULT_FLEET, /) -> int:
    """0: the checkpoints are in the cache; 2: one cannot be had. Those of the Hub are left to the engine."""
    from cluster.checkpoints import RECIPES, prepare_all

    def fetch(loaded: Fleet) -> None:
        embedded = [model.checkpoint for model in loaded.models if model.checkpoint in RECIPES]
        for name, folder in prepare_all(embedded, loaded.cache_folder).items():
            print(f"{name}: {folder}")

    return _with_fleet(fleet, fetch)


def kuberay(
    fleet: FleetName,
    /,
    *,
    registry: Annotated[
        str,
        Parameter(help="Registry of the images mixfleet-{head,nvidia,amd}.", metavar="HOST/PATH"),
    ],
    tag: Annotated[str, Parameter(help="Tag of these images, where --digest names none.")] = "latest",
    digest: Annotated[
        list[str] | None,
        Parameter(name="--digest", help="Digest of one image, for ever the same.", metavar="KIND=sha256:HEX"),
    ] = None,
    namespace: Annotated[str, Parameter(help="Namespace of Kubernetes.")] = "default",
    claim: Annotated[str, Parameter(help="Volume claim of the folder that all pods share.")] = "checkpoints",
) -> int:
    """0: the manifest is printed; 2: this fleet cannot run in pods."""
    from cluster.kuberay import Images, NotForPods, manifest, read_digests

    try:
        images = Images(registry, tag, read_digests(digest or []))
        return _with_fleet(fleet, lambda it: print(manifest(it, images, namespace, claim), end=""))
    except NotForPods as error:
        _print_error(error)
        return 2


def key(*, as_json: Json = False) -> None:
    """Prints a new key and its digest. The key is stored nowhere."""
    made = new_key()
    if as_json:
        print_json({"key": made, "key_sha256": digest(made)})
        return
    print(f"key:    {made}  (for the client; it is shown only now)")
    print(f"sha256: {digest(made)}  (for a tenant's `key_sha256` in the fleet file)")


def local() -> int:
    """0: the content of cluster/local.yaml is printed; 2: there is no cluster.yaml to make it of."""
    from cluster.rehearsal import local_yaml

    try:
        print(local_yaml(), end="")
    except FileNotFoundError as error:
        print(f"{error.filename} does not exist; run this in a checkout, the wheel holds no such file", file=sys.stderr)
        return 2
    return 0


def _pools(fleet: Fleet) -> list[tuple[Model, Pool]]:
    return [(model, pool) for model in fleet.models for pool in model.pools]


def _print_error(error: Exception) -> None:
    print(error, file=sys.stderr)


def _with_fleet(
    name: str, command: Callable[[Fleet], object], print_errors: Callable[[Exception], None] = _print_error
) -> int:
    try:
        command(load_fleet(name))
    except (FleetError, CheckpointError) as error:
        print_errors(error)
        return 2
    return 0


def _print_fleet(fleet: Fleet) -> None:
    """The whole fleet with every default filled in, then the resources that each replica requests from Ray."""
    print(yaml.safe_dump(fleet.model_dump(mode="json"), sort_keys=False, width=120), end="")
    if warning := open_to_all(fleet):
        print(f"# {warning}")
    print("# each replica asks of Ray:")
    for model, pool in _pools(fleet):
        wanted = f"{pool.min_replicas}..{pool.most_replicas} x {actor_options(pool)}"
        print(f"#   {deployment_name(model, pool)}: {wanted}")


def _print_fleet_json(fleet: Fleet) -> None:
    replicas: list[dict[str, Any]] = [
        {
            "deployment": deployment_name(model, pool),
            "min_replicas": pool.min_replicas,
            "max_replicas": pool.most_replicas,
            "ray_actor_options": actor_options(pool),
        }
        for model, pool in _pools(fleet)
    ]
    warnings = [line for line in [open_to_all(fleet)] if line]
    print_json({"fleet": fleet.model_dump(mode="json"), "replicas": replicas, "warnings": warnings})
