"""An engine that is only a process: it misbehaves in the ways that its checkpoint's name lists, separated by commas.

stubborn: ignores SIGTERM. child: starts a process of its own. exits: ends at its start. deaf: never gets ready.
mute: healthy, but tells no facts. brief: ends half a second after its start.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp

from deployments.engine.backend import EngineFacts, EngineLoad, EngineSpec


class ScriptBackend:
    """Implements `deployments.engine.backend.EngineBackend`."""

    def command(self, spec: EngineSpec, host: str, port: int) -> list[str]:
        return [sys.executable, "-m", "tests.support.script_engine", spec.checkpoint, host, str(port)]

    def environment(self, host: str) -> dict[str, str]:
        return {"OWN_HOST": host, "GIVEN": "1"}

    def python_path(self) -> list[Path]:
        return []

    async def facts(self, session: aiohttp.ClientSession, url: str, spec: EngineSpec) -> EngineFacts:
        async with session.get(f"{url}/facts", raise_for_status=True) as answer:
            return EngineFacts(**(await answer.json()))

    async def load(self, session: aiohttp.ClientSession, url: str) -> EngineLoad:
        async with session.get(f"{url}/load", raise_for_status=True) as answer:
            return EngineLoad(**(await answer.json()))


def spec(behaviour: str = "", **changes: Any) -> EngineSpec:
    fields: dict[str, Any] = {"names": ("m",), "task": "chat", "checkpoint": behaviour, "engine": "fake", "slots": 1}
    return EngineSpec(**{**fields, "backend": "script", **changes})


async def processes_of(url: str) -> list[int]:
    """Ids of the engine's processes."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/processes") as answer:
        found: list[int] = await answer.json()
        return found


def main(behaviour: list[str], host: str, port: int) -> None:
    processes = [os.getpid()]
    if "stubborn" in behaviour:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "child" in behaviour:
        sleeper = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        processes.append(subprocess.Popen([sys.executable, "-S", "-c", sleeper]).pid)
    if "exits" in behaviour:
        print("\n".join(f"line {n}" for n in range(100)))
        sys.exit("the reason why it ends")
    if "brief" in behaviour:
        threading.Timer(0.5, os._exit, [7]).start()
    answers: dict[str, Any] = {
        "/processes": processes,
        "/health": "",
        "/load": {"running": 0, "waiting": 0, "kv_use": 0.0},
        "/facts": {
            **{"version": "1", "block_size": 16, "kv_blocks": 9, "max_model_len": 99, "caches": True},
            **{"kv_events": "tcp://host:1", "kv_replay": "tcp://host:2"},
        },
    }
    for fault, route in (("deaf", "/health"), ("mute", "/facts")):
        if fault in behaviour:
            del answers[route]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in answers else 404)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(self.path)).encode())

        def log_message(self, *_: object) -> None:
            """Says nothing: the log is what the tests look at."""

    ThreadingHTTPServer((host, port), Handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1].split(","), sys.argv[2], int(sys.argv[3]))
