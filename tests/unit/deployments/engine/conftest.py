from __future__ import annotations

import pytest

from deployments.engine import process
from deployments.engine.backend import BACKENDS


@pytest.fixture(autouse=True)
def script_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend `script`, beside those there are."""
    monkeypatch.setitem(BACKENDS, "script", "tests.support.script_engine:ScriptBackend")


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "POLL_S", 0.03)
