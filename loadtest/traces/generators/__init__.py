"""Generators of traces by name, and their specs: `shared-prefix:groups=150,system=6000,rate=10`."""

from __future__ import annotations

from random import Random

from pydantic import ValidationError

from loadtest.traces.generators.agents import Agents
from loadtest.traces.generators.audio import Audio
from loadtest.traces.generators.base import Generator
from loadtest.traces.generators.images import Images
from loadtest.traces.generators.poisson import Poisson
from loadtest.traces.generators.shared_prefix import SharedPrefix
from loadtest.traces.trace import Trace, TraceError

GENERATORS: dict[str, Generator] = {
    "shared-prefix": SharedPrefix(),
    "agents": Agents(),
    "images": Images(),
    "audio": Audio(),
    "poisson": Poisson(),
}


def generate(spec: str, seed: int) -> Trace:
    """The trace of `NAME` or `NAME:KEY=VALUE,...`, the same for an equal seed.

    The seed alone fixes what is random: at another rate, the same requests come in the same order.

    Raises TraceError for a spec that is wrong.
    """
    name, _, assignments = spec.partition(":")
    generator = GENERATORS.get(name)
    if generator is None:
        raise TraceError(f"no generator is named '{name}'; there are {', '.join(GENERATORS)}")
    known = generator.settings.model_fields
    keys = ", ".join(f"{key}={field.default}" for key, field in known.items())
    try:
        settings = generator.settings.model_validate(_values(name, assignments))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        wrong = f"unknown key '{key}'" if first["type"] == "extra_forbidden" else f"{key}: {first['msg']}".lstrip(": ")
        raise TraceError(f"{spec}: {wrong}; {name} takes {keys}") from None
    requests = generator.requests(settings, Random(f"{name} {seed}"))
    return Trace(spec, tuple(sorted(requests, key=lambda request: request.at_s)))


def _values(name: str, assignments: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for assignment in filter(None, assignments.split(",")):
        key, equals, value = (part.strip() for part in assignment.partition("="))
        if not equals or not value:
            raise TraceError(f"{name}: '{assignment}' is not of the form KEY=VALUE")
        if key in values:
            raise TraceError(f"{name}: {key} is given twice")
        values[key] = value
    return values
