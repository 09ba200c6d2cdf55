from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.fleet_secrets import FleetSecrets, SecretsError
from deployments.engine.access import keys as module
from deployments.engine.access.keys import SECRETS_VARIABLE, EngineKeys, engine_address
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


URL, ADDRESS = "http://127.0.0.1:8000", "127.0.0.1:8000"


def token(secret: str) -> bytes:
    key = FleetSecrets((secret.encode(),)).derive("engine")
    return b"Bearer " + base64.urlsafe_b64encode(hmac.digest(key, f"request {ADDRESS}".encode(), "sha256"))


def sent(keys: EngineKeys) -> bytes:
    return keys.headers(URL)["Authorization"].encode()


def accepts(keys: EngineKeys, authorization: bytes | None) -> bool:
    return keys.accepts(authorization, ADDRESS)


def test_the_first_secrets_key_is_sent_and_every_secrets_key_is_accepted(write_secrets: WriteSecrets) -> None:
    keys = EngineKeys(write_secrets(FIRST, SECOND))
    assert sent(keys) == token(FIRST)
    assert [accepts(keys, token(secret)) for secret in (FIRST, SECOND, THIRD)] == [True, True, False]


def test_the_secret_itself_is_no_key(write_secrets: WriteSecrets) -> None:
    keys = EngineKeys(write_secrets(FIRST))
    assert not accepts(keys, b"Bearer " + FIRST.encode())
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
    assert not accepts(EngineKeys(write_secrets(FIRST)), authorization)


@given(st.binary(max_size=80))
def test_no_header_that_is_not_the_key_is_accepted(authorization: bytes) -> None:
    assert not accepts(engine_keys(), authorization)
    assert not accepts(engine_keys(), b"Bearer " + authorization)


def test_a_secret_is_replaced_while_engine_and_gateway_run(
    write_secrets: WriteSecrets, clock: Callable[[float], None]
) -> None:
    """The three steps of docs/security.md; at each the gateway may know of the change before the engine, or after."""
    file = write_secrets(FIRST)
    gateway, engine = EngineKeys(file), EngineKeys(file)
    for secrets, key in (((FIRST, SECOND), FIRST), ((SECOND, FIRST), SECOND), ((SECOND,), SECOND)):
        write_secrets(*secrets)
        assert accepts(engine, sent(gateway)), "neither has looked again"
        clock(1)
        assert sent(gateway) == token(key)
        assert accepts(engine, sent(gateway))
    clock(1)
    assert not accepts(engine, token(FIRST))


def test_a_key_opens_the_engine_at_its_own_address_alone(write_secrets: WriteSecrets) -> None:
    """Another user of the node who listens where an engine was is sent that key."""
    keys = EngineKeys(write_secrets(FIRST))
    assert accepts(keys, sent(keys))
    for other in ("127.0.0.1:8001", "127.0.0.2:8000", "[::1]:8000", ""):
        assert not keys.accepts(sent(keys), other)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://[fd00::1]:8000", "fd00:0:0:0:0:0:0:1", 8000),
        ("http://[::ffff:10.0.0.1]:8000", "10.0.0.1", 8000),
        ("http://10.0.0.1", "10.0.0.1", 80),
        ("http://Node:8000", "node", 8000),
    ],
)
def test_an_address_has_one_key_in_any_of_its_spellings(url: str, host: str, port: int) -> None:
    assert engine_keys().accepts(engine_keys().headers(url)["Authorization"].encode(), engine_address(host, port))


def test_an_engine_proves_itself_anew_for_each_challenge(
    write_secrets: WriteSecrets, clock: Callable[[float], None]
) -> None:
    file = write_secrets(FIRST)
    gateway, engine = EngineKeys(file), EngineKeys(file)
    proof = engine.proof("one", ADDRESS)
    assert gateway.proves(proof, "one", URL)
    assert not gateway.proves(proof, "another", URL)
    for other in ("", "\udcff", sent(gateway)[7:].decode(), engine.proof("one", "127.0.0.1:8001")):
        assert not gateway.proves(other, "one", URL)
    write_secrets(SECOND, FIRST)
    clock(1)
    assert gateway.proves(engine.proof("one", ADDRESS), "one", URL)
    assert gateway.proves(proof, "one", URL), "an engine that has not read the file again"


@pytest.mark.parametrize("challenge", ["request 127.0.0.1:8000", "x" * 101, "127.0.0.1:8001 ", "\udcff"])
def test_no_challenge_makes_an_engine_tell_a_key(challenge: str) -> None:
    keys = engine_keys()
    told = b"Bearer " + keys.proof(challenge, ADDRESS).encode()
    assert not any(keys.accepts(told, f"127.0.0.1:{port}") for port in (8000, 8001))


def test_a_key_that_is_not_known_makes_an_engine_look_at_once(
    write_secrets: WriteSecrets, clock: Callable[[float], None]
) -> None:
    engine = EngineKeys(write_secrets(FIRST))
    write_secrets(SECOND)
    assert accepts(engine, token(SECOND))


def test_a_file_that_becomes_unusable_changes_nothing(
    write_secrets: WriteSecrets, clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    file = write_secrets(FIRST)
    keys = EngineKeys(file)
    write_secrets("short")
    clock(1)
    assert accepts(keys, token(FIRST))
    assert "the keys stay as they are" in caplog.text
    assert "short" not in caplog.text
    write_secrets(SECOND).chmod(0o644)
    clock(1)
    assert (accepts(keys, token(FIRST)), accepts(keys, token(SECOND))) == (True, False)
    file.chmod(0o600)
    clock(1)
    assert (accepts(keys, token(FIRST)), accepts(keys, token(SECOND))) == (False, True)
    file.unlink()
    clock(1)
    assert accepts(keys, token(SECOND))


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
