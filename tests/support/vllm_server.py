"""vLLM's own API server without an engine behind it: its app, request models, renderer and checks, in this process.

What the server does of a request until its core gets it, and so what it does on the event loop that serves everyone,
is vLLM's own code. Behind it each request is answered at once.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from cluster.checkpoints import resolve
from cluster.loading import load_fleet
from deployments.engine.backend import EngineSpec
from deployments.engine.engine_spec import engine_spec
from deployments.engine.vllm.backend import engine_arguments
from tests.support.engine_keys import with_secrets

TASKS = ("generate",)


@dataclass(frozen=True)
class ServerAnswer:
    """Attributes:
    loop_s: CPU seconds of the event loop's thread.
    process_s: CPU seconds of all threads.
    """

    status: int
    body: bytes
    loop_s: float
    process_s: float

    @property
    def message(self) -> str:
        return str(json.loads(self.body).get("error", {}).get("message", ""))


@dataclass(frozen=True)
class VllmServer:
    """The app of one embedded model."""

    spec: EngineSpec
    app: Any

    async def post(self, path: str, body: bytes) -> ServerAnswer:
        sent: list[dict[str, Any]] = []
        received = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if received:
                return received.pop()
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        headers = [(b"content-type", b"application/json"), (b"host", b"engine")]
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http"}
        scope |= {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers}
        scope |= {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)}
        loop, process = time.thread_time(), time.process_time()
        await self.app(scope, receive, send)
        loop, process = time.thread_time() - loop, time.process_time() - process
        status = next(message["status"] for message in sent if message["type"] == "http.response.start")
        return ServerAnswer(status, b"".join(message.get("body", b"") for message in sent), loop, process)


def embedded_spec(model_name: str) -> EngineSpec:
    """An engine of the embedded fleet, as its supervisor starts it."""
    fleet = with_secrets(load_fleet("embedded"))
    model = next(model for model in fleet.models if model.name == model_name)
    spec = engine_spec(fleet, model, model.pools[0])
    found = resolve(spec.checkpoint)
    return replace(spec, checkpoint=str(found.path), environment={**spec.environment, **found.environment})


async def vllm_server(model_name: str) -> VllmServer:
    """Blocks for seconds. It sets environment variables, which vLLM reads at its import."""
    spec = embedded_spec(model_name)
    os.environ.update(spec.environment)
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.launchers.api_server.app_state import init_app_state
    from vllm.entrypoints.launchers.app import build_app
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser
    from vllm.utils.gc_utils import freeze_gc_heap

    arguments = make_arg_parser(FlexibleArgumentParser()).parse_args(engine_arguments(spec))
    arguments.middleware = []
    config = AsyncEngineArgs.from_cli_args(arguments).create_engine_config()
    app = build_app(arguments, TASKS, config.model_config)
    await init_app_state(_instant_engine(config), app.state, arguments, TASKS)
    freeze_gc_heap()  # as the server does when it starts
    return VllmServer(spec, app)


def _instant_engine(config: Any) -> Any:
    """vLLM's protocol of an engine: what `AsyncLLM` does before a request leaves for the core, and an answer."""
    from vllm.engine.protocol import EngineClient
    from vllm.outputs import CompletionOutput, RequestOutput
    from vllm.renderers import renderer_from_config
    from vllm.v1.engine.input_processor import InputProcessor
    from vllm.v1.engine.output_processor import OutputProcessor, RequestOutputCollector
    from vllm.v1.engine.parallel_sampling import ParentRequest
    from vllm.v1.serial_utils import MsgpackEncoder

    class InstantEngine(EngineClient):  # type: ignore[misc]  # vLLM has no types here
        is_running, is_stopped, errored, dead_error = True, False, False, None

        def __init__(self) -> None:
            self.vllm_config, self.model_config = config, config.model_config
            self.renderer = renderer_from_config(config)
            self.input_processor = InputProcessor(config, self.renderer)
            self.output_processor = OutputProcessor(self.renderer.tokenizer, log_stats=False, stream_interval=1)
            self.encoder = MsgpackEncoder()

        async def get_supported_tasks(self) -> tuple[str, ...]:
            return TASKS

        async def generate(
            self, prompt: Any, sampling_params: Any, request_id: str, **_: Any
        ) -> AsyncIterator[RequestOutput]:
            request = self.input_processor.process_inputs(request_id, prompt, sampling_params, supported_tasks=TASKS)
            self.input_processor.assign_request_id(request)
            queue = RequestOutputCollector(sampling_params.output_kind, request.request_id)
            parent = ParentRequest(request) if request.params.n > 1 else None
            requests = []
            for index in range(request.params.n):
                each = copy.copy(request)
                if parent:
                    each.request_id, each.sampling_params = parent.get_child_info(index)
                self.output_processor.add_request(each, None, parent, index, queue)
                requests.append(each)
            for each in requests:
                self.encoder.encode(each)
            await asyncio.sleep(0)
            self.output_processor.abort_requests([each.request_id for each in requests], internal=True)
            answers = [
                CompletionOutput(index, "x", [1], None, None, finish_reason="length") for index in range(len(requests))
            ]
            yield RequestOutput(request_id, None, list(prompt["prompt_token_ids"]), None, answers, True)

    for name in InstantEngine.__abstractmethods__:
        setattr(InstantEngine, name, _unused)
    InstantEngine.__abstractmethods__ = frozenset()
    return InstantEngine()


async def _unused(*_: object, **__: object) -> None:
    """What these tests do not ask of an engine."""
