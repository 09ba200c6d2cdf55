from __future__ import annotations

import pytest

from deployments.engine.backend import BACKENDS


@pytest.fixture(autouse=True)
def script_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend `script`, beside those there are."""
    monkeypatch.setitem(BACKENDS, "script", "tests.support.script_engine:ScriptBackend")
