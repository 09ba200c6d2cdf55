from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from loadtest.benchmarks.scoring.sandbox.sandbox import Sandbox
from tests.support.jailed import LIMITS, require_namespaces


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    require_namespaces()
    with Sandbox(LIMITS) as opened:
        yield opened


@pytest.fixture(scope="module")
def hasty(sandbox: Sandbox) -> Iterator[Sandbox]:
    """Gives programs half a second."""
    with Sandbox(replace(LIMITS, step_s=0.5)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def same_recursion_limit() -> Iterator[None]:
    """Programs that are run in this process raise it for good."""
    before = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(before)
