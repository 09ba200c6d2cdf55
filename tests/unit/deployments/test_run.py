from __future__ import annotations

from pathlib import Path

import pytest
import ray

from cluster.fleet_secrets import make_secrets, secrets_path
from cluster.loading import FleetError, load_fleet
from deployments.app import app
from deployments.run import serving

REMEDY = "every user of this machine may read it; run chmod 600 on it"


@pytest.fixture(autouse=True)
def open_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the embedded fleet, readable by everyone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = secrets_path("embedded", None)
    make_secrets(file)
    file.chmod(0o644)


def test_a_fleet_whose_secrets_cannot_be_used_ends_before_ray_starts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app({})
    assert ended.value.code == 2
    assert REMEDY in capsys.readouterr().err
    assert not ray.is_initialized()


def test_a_load_test_that_starts_such_a_fleet_says_the_same() -> None:
    with pytest.raises(FleetError, match=REMEDY), serving(load_fleet("embedded")):
        pass
    assert not ray.is_initialized()
