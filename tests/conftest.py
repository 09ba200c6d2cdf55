"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from cluster import mend_on_import
from tests.support import session_plugin
from tests.support.scheduling import FleetScheduling, position
from tests.support.session_home import SessionHome

REAL_MODELS = Path(__file__).parent / "e2e"

HOME = None if "PYTEST_XDIST_WORKER" in os.environ else SessionHome.enter()
"""Entered before any other conftest.py is imported: Ray reads whether it wants a token once, at its import. Parallel
workers inherit it."""

settings.register_profile("quick", deadline=None, max_examples=40)
settings.register_profile("thorough", deadline=None, max_examples=250)
settings.load_profile("quick")
"""An example may take as long as a busy machine needs: what is slow is shown by benchmarks. `make test-all` tries many
more examples than `make test` (tests/tiers.py)."""

os.environ["RAY_ADDRESS"] = "local"
"""Tests never join a cluster that happens to run on this machine."""

LOOPBACK = "localhost,127.0.0.1,::1"
for variable in ("no_proxy", "NO_PROXY"):
    os.environ[variable] = ",".join(filter(None, (os.environ.get(variable), LOOPBACK)))
"""Downloads may need a proxy; every server of a test is on loopback."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--end-within", type=float, default=15.0, help="seconds that processes have after the last test")
    parser.addoption("--report-file", type=Path, help="write what the session found as JSON: counts, skips, seconds")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if HOME:
        session_plugin.register(config, HOME)
    chosen = [Path(argument.split("::")[0]).resolve() for argument in config.args]
    if any(path.is_relative_to(REAL_MODELS) or REAL_MODELS.is_relative_to(path) for path in chosen):
        # Transformers, the reference of these tests, looks only once for what is there: at its first import.
        mend_on_import.install()


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FleetScheduling:
    return FleetScheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: position(item.nodeid))
