"""`mixfleet status`: prints the state of the cluster that runs here, once or again and again."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Annotated

from cyclopts import Parameter

from cluster.cluster_state import State, current_state
from cluster.command_line import print_json
from cluster.option_types import FLAG, Json
from cluster.ray_address import LOCAL, RayAddressError, ray_address
from cluster.running_ray import cluster_to_join
from cluster.tables import drawn, show

LOOK_EVERY_S = 2.0


def status(
    *,
    watch: Annotated[bool, Parameter(help="Print it again every two seconds, until Ctrl-C."), FLAG] = False,
    as_json: Json = False,
) -> int:
    """0: printed; 1: no cluster runs; 2: RAY_ADDRESS leads to none."""
    import ray

    try:
        if (address := cluster_to_join(ray_address())) == LOCAL:
            raise ConnectionError("there is no cluster to join")
        ray.init(address=address, namespace="serve", logging_level="ERROR", log_to_driver=False)
    except RayAddressError as error:
        return _fail(str(error), as_json, 2)
    except ConnectionError:
        return _fail("no Ray cluster runs here: ray up, ray start, or serve run deployments:app", as_json, 1)
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    try:
        if watch:
            _watch(as_json)
        elif as_json:
            print_json(current_state().as_dict())
        else:
            show(*current_state().parts())
        return 0
    except KeyboardInterrupt:
        return 0
    finally:
        ray.shutdown()


def _fail(message: str, as_json: bool, code: int) -> int:
    if as_json:
        print_json({"error": message})
    else:
        print(message, file=sys.stderr if code == 2 else sys.stdout)
    return code


def _watch(as_json: bool) -> None:
    """A table that is drawn anew on a terminal; elsewhere one after another, or a line of JSON each."""
    if as_json:
        _repeat(lambda state: print(json.dumps(state.as_dict()), flush=True))
    elif not sys.stdout.isatty():
        _repeat(lambda state: show(*state.parts(), ""))
    else:
        from rich.console import Console, Group
        from rich.live import Live

        console = Console(highlight=False)
        with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
            _repeat(lambda state: live.update(Group(*drawn(state.parts(), console)), refresh=True))


def _repeat(draw: Callable[[State], None]) -> None:
    while True:
        draw(current_state())
        time.sleep(LOOK_EVERY_S)
