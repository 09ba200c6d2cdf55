"""Every route of vLLM's own application, with every task and its development mode, behind the fleet's key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from deployments.engine.access.rules import ENGINE_ROUTES
from deployments.engine.backend import EngineSpec
from deployments.engine.process import PROJECT_ROOT
from deployments.engine.vllm.backend import CUSTOMIZE, engine_arguments
from tests.support.engine_keys import engine_environment, engine_keys

PROGRAM = """
import asyncio, json, re, sys
from types import SimpleNamespace
from typing import get_args
from vllm.entrypoints.launchers.app import build_app
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.tasks import SupportedTask
from vllm.utils.argparse_utils import FlexibleArgumentParser

words, key = json.load(sys.stdin)
arguments = make_arg_parser(FlexibleArgumentParser()).parse_args(words)
arguments.enable_fault_tolerance = True
app = build_app(arguments, get_args(SupportedTask), SimpleNamespace(get_pooling_task=lambda tasks: "embed"))
stack = app.build_middleware_stack()
access = stack.app

async def behind(scope, receive, send):
    await send({"type": "reached", "status": 0})

access._app = behind

def connections(routes, prefix=""):
    for route in routes:
        path = prefix + re.sub(r"{[^}]*}", "x", getattr(route, "path", ""))
        kind = type(route).__name__
        if "WebSocket" in kind:
            yield "websocket", "GET", path
            continue
        for method in {*(getattr(route, "methods", None) or ()), "GET", "POST", "HEAD", "OPTIONS"}:
            yield "http", method, path
        if kind == "Mount":
            yield from (("http", method, path + "/x") for method in ("GET", "POST", "OPTIONS"))
            yield "websocket", "GET", path + "/x"
            yield from connections(route.routes, path)

async def status(kind, method, path, headers):
    sent = []
    async def receive():
        return {"type": "websocket.connect" if kind == "websocket" else "http.request", "body": b""}
    async def send(message):
        sent.append(message)
    scope = {"type": kind, "method": method, "path": path, "raw_path": path.encode(), "headers": headers,
             "query_string": b"", "extensions": {"websocket.http.response": {}}, "app": app, "server": ("127.0.0.1", 1)}
    await stack(scope, receive, send)
    return sent[0]["status"]

async def walk():
    with_key = [(b"authorization", key.encode())]
    preflight = [(b"origin", b"http://x"), (b"access-control-request-method", b"POST")]
    found = sorted(set(connections(app.routes)))
    sent = [], preflight, with_key
    return [[*one, *[await status(*one, headers) for headers in sent]] for one in found]

kinds = sorted({type(route).__name__ for route in app.routes})
print(json.dumps([type(access).__module__, kinds, asyncio.run(walk())]))
"""


@dataclass(frozen=True)
class Connection:
    """A way into vLLM's application, and the statuses that it is answered with; 0 where vLLM itself answers."""

    kind: str
    method: str
    path: str
    without_key: int
    as_preflight: int
    with_key: int


Walked = tuple[str, list[str], list[Connection]]


@pytest.fixture(scope="module")
def walked() -> Walked:
    """The module of the outermost middleware, the kinds of routes, and every connection."""
    spec = EngineSpec(names=("m",), task="chat", checkpoint="folder", engine="cpu", backend="vllm", slots=8)
    environment = {
        **engine_environment(),
        "PYTHONPATH": os.pathsep.join([str(CUSTOMIZE), str(PROJECT_ROOT)]),
        "VLLM_SERVER_DEV_MODE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
    }
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([engine_arguments(spec), engine_keys().headers("http://127.0.0.1:1")["Authorization"]]),
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    outermost, kinds, rows = json.loads(ended.stdout.splitlines()[-1])
    return outermost, kinds, [Connection(*row) for row in rows]


def test_the_walk_meets_every_kind_of_route(walked: Walked) -> None:
    """Else what follows would show nothing: WebSockets, mounted applications, and what only a development mode has."""
    outermost, kinds, connections = walked
    assert outermost == "deployments.engine.access.vllm_middleware"
    assert {"Mount", "APIRoute", "APIWebSocketRoute"} <= set(kinds)
    paths = {connection.path for connection in connections}
    assert {"/metrics", "/v1/realtime", "/collective_rpc", "/docs", "/invocations", "/v1/embeddings"} <= paths
    assert {path for _, path in ENGINE_ROUTES} <= paths
    assert {"OPTIONS", "HEAD", "GET", "POST"} <= {connection.method for connection in connections}
    assert len(paths) > 50


def test_without_the_key_every_route_answers_401(walked: Walked) -> None:
    _, _, connections = walked
    assert [one for one in connections if (one.without_key, one.as_preflight) != (401, 401)] == []


def test_with_the_key_the_listed_routes_are_answered_and_no_others(walked: Walked) -> None:
    _, _, connections = walked
    answered = {(one.method, one.path) for one in connections if one.with_key == 0}
    assert answered == ENGINE_ROUTES
    refused = {one.kind: one.with_key for one in connections if one.with_key}
    assert refused == {"http": 404, "websocket": 403}
