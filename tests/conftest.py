"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cluster.mend_on_import import install
from tests.support import session_plugin
from tests.support.scheduling import FleetScheduling, position

install()

os.environ["RAY_ADDRESS"] = "local"
"""Tests never join a cluster that happens to run on this machine."""

LOOPBACK = "localhost,127.0.0.1,::1"
for variable in ("no_proxy", "NO_PROXY"):
    os.environ[variable] = ",".join(filter(None, (os.environ.get(variable), LOOPBACK)))
"""Downloads may need a proxy; every server of a test is on loopback."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--report-file", type=Path, help="write what the session found as JSON: counts, skips, seconds")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    session_plugin.register(config)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FleetScheduling:
    return FleetScheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: position(item.nodeid))
