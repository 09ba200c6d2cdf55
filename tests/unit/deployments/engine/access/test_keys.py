from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.fleet_secrets import FleetSecrets, SecretsError
from deployments.engine.access import keys as module
from deployments.engine.access.keys import SECRETS_VARIABLE, EngineKeys
from tests.support.engine_keys import engine_keys
from tests.support.processes import fake_fleet
from tests.unit.deployments.engine.access.conftest import FIRST, SECOND, THIRD, WriteSecrets


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the time of the module under test."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def forward(seconds: float) -> None:
        now[0] += seconds

    return forward


def token(secret: str) -> bytes:
    return b"Bearer " + base64.urlsafe_b64encode(FleetSecrets((secret.encode(),)).derive("engine"))


def sent(keys: EngineKeys) -> bytes:
    return keys.headers()["Authorization"].encode()


def test_the_first_secrets_key_is_sent_and_every_secrets_key_is_accepted(write_secrets: WriteSecrets) -> None:
    keys = EngineKeys(write_secrets(FIRST, SECOND))
    assert sent(keys) == token(FIRST)
    assert [keys.accepts(token(secret)) for secret in (FIRST, SECOND, THIRD)] == [True, True, False]


def test_the_secret_itself_is_no_key(write_secrets: WriteSecrets) -> None:
    keys = EngineKeys(write_secrets(FIRST))
    assert not keys.accepts(b"Bearer " + FIRST.encode())
    assert FIRST.encode() not in sent(keys)


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        token(FIRST)[7:],
        b"Basic " + token(FIRST)[7:],
        token(FIRST)[:-1],
        b"Bearer \xff",
    ],
)
def test_anything_else_is_refused(write_secrets: WriteSecrets, authorization: bytes | None) -> None:
    assert not EngineKeys(write_secrets(FIRST)).accepts(authorization)


@given(st.binary(max_size=80))
def test_no_header_that_is_not_the_key_is_accepted(authorization: bytes) -> None:
    assert not engine_keys().accepts(authorization)
    assert not engine_keys().accepts(b"Bearer " + authorization)


def test_a_secret_is_replaced_while_engine_and_gateway_run(
    write_secrets: WriteSecrets, clock: Callable[[float], None]
) -> None:
    """The three steps of docs/security.md; at each the gateway may know of the change before the engine, or after."""
    file = write_secrets(FIRST)
    gateway, engine = EngineKeys(file), EngineKeys(file)
    for secrets, key in (((FIRST, SECOND), FIRST), ((SECOND, FIRST), SECOND), ((SECOND,), SECOND)):
        write_secrets(*secrets)
        assert engine.accepts(sent(gateway)), "neither has looked again"
        clock(1)
        assert sent(gateway) == token(key)
        assert engine.accepts(sent(gateway))
    clock(1)
    assert not engine.accepts(token(FIRST))


def test_a_key_that_is_not_known_makes_an_engine_look_at_once(
    write_secrets: WriteSecrets, clock: Callable[[float], None]
) -> None:
    engine = EngineKeys(write_secrets(FIRST))
    write_secrets(SECOND)
    assert engine.accepts(token(SECOND))


def test_a_file_that_becomes_unusable_changes_nothing(
    write_secrets: WriteSecrets, clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    file = write_secrets(FIRST)
    keys = EngineKeys(file)
    write_secrets("short")
    clock(1)
    assert keys.accepts(token(FIRST))
    assert "the keys stay as they are" in caplog.text
    assert "short" not in caplog.text
    write_secrets(SECOND).chmod(0o644)
    clock(1)
    assert (keys.accepts(token(FIRST)), keys.accepts(token(SECOND))) == (True, False)
    file.chmod(0o600)
    clock(1)
    assert (keys.accepts(token(FIRST)), keys.accepts(token(SECOND))) == (False, True)
    file.unlink()
    clock(1)
    assert keys.accepts(token(SECOND))


def test_an_engine_without_a_file_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(SECRETS_VARIABLE, raising=False)
    with pytest.raises(SecretsError, match="set it to the fleet's `secrets_file`"):
        EngineKeys.of_environment()
    monkeypatch.setenv(SECRETS_VARIABLE, str(tmp_path / "missing"))
    with pytest.raises(SecretsError, match="it must be the same on every node of the fleet"):
        EngineKeys.of_environment()


def test_a_gateway_reads_the_file_that_its_fleet_names(write_secrets: WriteSecrets) -> None:
    fleet = fake_fleet().model_copy(update={"secrets_file": str(write_secrets(FIRST))})
    assert sent(EngineKeys.of_fleet(fleet)) == token(FIRST)
