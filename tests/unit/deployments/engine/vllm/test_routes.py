from __future__ import annotations

import pytest
from aiohttp import ClientError, ClientSession, web
from aiohttp.test_utils import TestServer

from deployments.engine.backend import EngineFacts, EngineLoad
from deployments.engine.vllm.routes import ask_facts, ask_load, labels, value

METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 9.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 2.5e-01
vllm:cache_config_info{block_size="32",enable_prefix_caching="True",note="a\\"b",num_gpu_blocks="1024"} 1.0
python_info{version="3.11"} 1.0
"""


async def engine(metrics: str, models: object, sources: object = None) -> TestServer:
    async def told(request: web.Request) -> web.Response:
        answers = {
            "/metrics": None,
            "/version": {"version": "0.32.0"},
            "/v1/models": models,
            "/kv_event_sources": sources or {},
        }
        found = answers[request.path]
        return web.Response(text=metrics) if found is None else web.json_response(found)

    app = web.Application()
    app.router.add_get("/{path:.*}", told)
    server: TestServer = TestServer(app)
    await server.start_server()
    return server


def url_of(server: TestServer) -> str:
    return str(server.make_url("")).rstrip("/")


def test_a_value_is_the_sum_over_engines() -> None:
    assert value(METRICS, "vllm:num_requests_running") == 5
    assert value(METRICS, "vllm:num_requests_waiting") == 1, "not another metric whose name begins so"
    assert value(METRICS, "vllm:num_requests") == 0
    assert value("plain 4.5\n", "plain") == 4.5


def test_labels_of_a_metric() -> None:
    found = labels(METRICS, "vllm:cache_config_info")
    assert (found["block_size"], found["num_gpu_blocks"], found["note"]) == ("32", "1024", 'a\\"b')
    assert labels(METRICS, "vllm:none") == {}


async def test_facts_and_load() -> None:
    server = await engine(METRICS, {"data": [{"id": "m", "max_model_len": 1024}]})
    async with server, ClientSession() as session:
        assert await ask_load(session, url_of(server)) == EngineLoad(5, 1, 0.25)
        assert await ask_facts(session, url_of(server)) == EngineFacts("0.32.0", 32, 1024, 1024, caches=True)


async def test_facts_that_an_engine_does_not_tell() -> None:
    server = await engine(METRICS.replace("True", "False").replace('"32"', '"None"'), {"data": [{"id": "m"}]})
    async with server, ClientSession() as session:
        assert await ask_facts(session, url_of(server)) == EngineFacts("0.32.0", None, 1024, None, caches=False)


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("*", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("[::]", "127.0.0.1"),
        ("[fd00::1]", "[fd00::1]"),
    ],
)
async def test_where_kv_events_are_published_as_others_reach_it(bound: str, told: str) -> None:
    source = {"endpoint": f"tcp://{bound}:4001", "replay_endpoint": f"tcp://{bound}:4002", "hwm": 1}
    server = await engine(METRICS, {"data": [{"id": "m"}]}, {"0": source})
    async with server, ClientSession() as session:
        facts = await ask_facts(session, url_of(server))
    assert (facts.kv_events, facts.kv_replay) == (f"tcp://{told}:4001", f"tcp://{told}:4002")


async def test_events_in_a_folder_are_where_the_engine_says() -> None:
    source = {"endpoint": "ipc:///t/e", "replay_endpoint": "ipc:///t/r"}
    server = await engine(METRICS, {"data": [{"id": "m"}]}, {"0": source})
    async with server, ClientSession() as session:
        facts = await ask_facts(session, url_of(server))
    assert (facts.kv_events, facts.kv_replay) == ("ipc:///t/e", "ipc:///t/r")


async def test_several_sources_behind_one_address_are_not_followed() -> None:
    source = {"endpoint": "tcp://10.1.2.3:4001", "replay_endpoint": "tcp://10.1.2.3:4002"}
    server = await engine(METRICS, {"data": [{"id": "m"}]}, {"0": source, "1": source})
    async with server, ClientSession() as session:
        assert (await ask_facts(session, url_of(server))).kv_events is None


async def test_an_engine_that_is_gone() -> None:
    server = await engine(METRICS, {})
    url = url_of(server)
    await server.close()
    async with ClientSession() as session:
        with pytest.raises(ClientError):
            await ask_load(session, url)
        with pytest.raises(ClientError):
            await ask_facts(session, url)
