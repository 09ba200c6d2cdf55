"""An engine's KV events where TMPDIR is longer than the address of a Unix socket may be."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
import zmq
import zmq.asyncio

from deployments.engine.process import EngineProcess
from tests.support.processes import fake_pool, fake_spec
from tests.unit.deployments.engine.test_socket_folder import long_folder


async def test_events_are_followed_below_a_long_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = long_folder(tmp_path)
    monkeypatch.setenv("TMPDIR", str(folder))
    spec = fake_spec(fake_pool())
    engine = EngineProcess(spec, tmp_path / "log", grace_s=5)
    await engine.start(60)
    context = zmq.asyncio.Context()
    try:
        async with engine.session(aiohttp.ClientTimeout(total=30)) as session:
            facts = await engine.backend.facts(session, engine.url, spec)
            assert facts.kv_events is not None
            subscriber = context.socket(zmq.SUB)
            subscriber.setsockopt(zmq.SUBSCRIBE, b"")
            subscriber.connect(facts.kv_events)
            for number in range(100):  # until the subscription has arrived there
                body = {"model": "m", "prompt": f"{number} hello " * 50, "max_tokens": 2}
                async with session.post(f"{engine.url}/v1/completions", json=body) as answer:
                    assert answer.status == 200
                if await subscriber.poll(100):
                    break
            else:
                raise AssertionError("no event came")
        assert len(await subscriber.recv_multipart()) == 3
        sockets = Path(facts.kv_events.removeprefix("ipc://")).parent
        assert sockets.exists()
    finally:
        context.destroy(linger=0)
        await engine.stop()
    assert not sockets.exists()
    assert list(folder.iterdir()) == []
