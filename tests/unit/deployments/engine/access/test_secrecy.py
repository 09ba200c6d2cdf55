"""What other users of a machine can see of an engine: its command line, and nothing that would open it."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cluster.fleet_secrets import SecretsError, make_secrets
from deployments.app import build
from deployments.engine import process
from deployments.engine.access.keys import PURPOSE, REQUEST, SECRETS_VARIABLE, address_in_url
from deployments.engine.fake.__main__ import main
from deployments.engine.process import EngineError, EngineProcess
from tests.support.engine_keys import direct_session
from tests.support.processes import fake_fleet, fake_pool, fake_spec


async def test_no_process_of_an_engine_has_a_secret_in_its_environment_or_command_line(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    secrets = make_secrets(file)
    made = EngineProcess(fake_spec(fake_pool(), secrets_file=str(file)), tmp_path / "log")
    await made.start(20)
    try:
        assert made._process is not None
        guard = psutil.Process(made._process.pid)
        processes = [guard, *guard.children(recursive=True)]
        assert len(processes) >= 2, "a guard and an engine"
        seen = b"".join(
            Path(f"/proc/{process.pid}/{name}").read_bytes()  # noqa: ASYNC240  # no disk behind it
            for process in processes
            for name in ("environ", "cmdline")
        )
    finally:
        await made.stop()
    key = secrets.derive(PURPOSE)
    used = hmac.digest(key, REQUEST + address_in_url(made.url).encode(), "sha256")
    assert f"{SECRETS_VARIABLE}={file}".encode() in seen
    for raw in (key, used):
        for hidden in (base64.urlsafe_b64encode(raw), base64.b64encode(raw), raw.hex().encode()):
            assert hidden.rstrip(b"=") not in seen
    assert not any(value in seen for value in secrets.values)
    assert not any(value in (tmp_path / "log").read_bytes() for value in secrets.values)


async def test_an_engine_answers_its_own_fleet_alone(tmp_path: Path) -> None:
    """The key of another fleet of this user is none."""
    file = tmp_path / "secrets"
    make_secrets(file)
    made = EngineProcess(fake_spec(fake_pool(), secrets_file=str(file)), tmp_path / "log")
    await made.start(20)
    try:
        async with direct_session(made.url) as other, other.get("/v1/models") as answer:
            assert answer.status == 401
    finally:
        await made.stop()


def test_a_replica_without_its_secrets_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SecretsError, match="`secrets_file` in the fleet file names it, `mixfleet key` makes a secret"):
        EngineProcess(fake_spec(fake_pool(), secrets_file=str(tmp_path / "missing")), tmp_path / "log")


def test_an_engine_without_a_secrets_file_ends_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SECRETS_VARIABLE, raising=False)
    config = json.dumps({"names": ["m"], "task": "chat", "checkpoint": "virtual", "slots": 1})
    monkeypatch.setattr("sys.argv", ["fake", "--port", "1", "--config", config])
    with pytest.raises(SecretsError):
        main()


def test_what_serve_is_handed_names_the_file_and_holds_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    (secret,) = make_secrets(file).values
    fleet = fake_fleet().model_copy(update={"secrets_file": str(file)})
    application = build(fleet)
    arguments = repr(application._bound_deployment.init_args)
    engines = application._bound_deployment.init_args[2]
    specs = [asdict(engine._bound_deployment.init_args[0]) for engine in engines]
    assert [spec["secrets_file"] for spec in specs] == [str(file)]
    assert secret.decode() not in arguments + repr(specs)


async def test_a_server_that_took_the_engines_port_first_is_not_taken_for_it_and_sees_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line, and with it the port, is there for everyone to see long before the engine listens."""
    seen: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(dict(request.headers))
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as squatter:
        monkeypatch.setattr(process, "free_port", lambda _: squatter.port)
        made = EngineProcess(fake_spec(fake_pool()), tmp_path / "log")
        with pytest.raises(EngineError, match="address already in use"):
            await made.start(20)
    assert seen
    assert not any("Authorization" in headers for headers in seen)
