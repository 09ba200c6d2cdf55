"""The secrets of fleets of tests, and sessions with their engines."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import aiohttp

from cluster.fleet import Fleet
from cluster.fleet_secrets import make_secrets, secrets_path
from deployments.engine.access.client import engine_session
from deployments.engine.access.keys import SECRETS_VARIABLE, EngineKeys

FLEET = "fakes"
TIMEOUT = aiohttp.ClientTimeout(total=300)


@cache
def secrets_file() -> Path:
    """One file for all engines and gateways that tests start without Ray."""
    path = secrets_path(FLEET, None)
    make_secrets(path)
    return path


@cache
def engine_keys() -> EngineKeys:
    return EngineKeys(secrets_file())


def with_secrets(fleet: Fleet) -> Fleet:
    """The fleet, with that file where it names none: what gateways and engines of one test share."""
    return fleet if fleet.secrets_file else fleet.model_copy(update={"secrets_file": str(secrets_file())})


def engine_environment() -> dict[str, str]:
    """This process's environment, with what an engine's has beside it."""
    return {**os.environ, SECRETS_VARIABLE: str(secrets_file())}


def direct_session(url: str | None = None, timeout: aiohttp.ClientTimeout = TIMEOUT) -> aiohttp.ClientSession:
    """A session with engines that no gateway stands before."""
    return engine_session(engine_keys(), timeout, url)
