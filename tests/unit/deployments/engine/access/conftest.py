from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

FIRST, SECOND, THIRD = "first-secret-of-the-fleet", "second-secret-of-the-fleet", "third-secret-of-the-fleet"

WriteSecrets = Callable[..., Path]


@pytest.fixture
def write_secrets(tmp_path: Path) -> WriteSecrets:
    """Writes these secrets into the fleet's file, as an operator does: under a new name that is then renamed."""
    file = tmp_path / "secrets"

    def write(*secrets: str) -> Path:
        new = tmp_path / "new"
        new.touch(mode=0o600)
        new.write_text("".join(f"{secret}\n" for secret in secrets))
        return new.replace(file)

    return write
