"""`ray up` and `serve run` as a user types them: a model in two pools, on nodes tagged nvidia and amd; real engines."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen

import psutil
import pytest
import requests

from cluster.loading import load_fleet
from tests.support.fleet_file import on_free_port
from tests.support.local_cluster import FILE, LocalCluster, local_cluster, make_token

VENDORS = ("nvidia", "amd")
READY_WITHIN_S = 400
ASK_FOR_S = 60
FROZEN_ANSWER_S = 25
"""For an answer whose engine is frozen in the middle: found out after five seconds, on a busy machine some more."""
ACTORS = """python -c '
import json, ray
from ray._private.state import actors  # the public list of actors asks the dashboard, which may still be starting
ray.init(logging_level=40)
vendors = {node["NodeID"]: node["Labels"].get("gpu-vendor", "") for node in ray.nodes()}
alive = actors(actor_state_name="ALIVE").values()
print(json.dumps({actor["Name"]: vendors[actor["Address"]["NodeID"]] for actor in alive}))
'"""


def wait_until_ready(url: str, serving: Popen[str]) -> None:
    """Until both pools are there: what one alone has answered by then it has cached, and nobody would go elsewhere."""
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and serving.poll() is None:
        try:
            (model,) = requests.get(f"{url}/fleet", timeout=5).json()["models"]
            if {replica["vendor"] for replica in model["replicas"]} == set(VENDORS):
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.5)
    os.killpg(serving.pid, signal.SIGINT)
    pytest.fail(f"not ready: {serving.communicate(timeout=60)[0][-6000:]}")


def answer(url: str) -> tuple[str, str]:
    """A sum's vendor and answer."""
    question = [{"role": "user", "content": "What is 27 + 58?"}]
    body = {"model": "gpt-oss", "messages": question, "temperature": 0, "max_tokens": 128}
    answer = requests.post(f"{url}/v1/chat/completions", json=body, timeout=60)
    return answer.headers["x-vendor"], answer.json()["choices"][0]["message"]["content"]


def answers(url: str) -> dict[str, str]:
    """Each vendor's answer to the same sum. At once: one after the other they go where the first is cached."""
    found: dict[str, str] = {}
    deadline = time.monotonic() + ASK_FOR_S
    with ThreadPoolExecutor(4) as threads:
        while len(found) < len(VENDORS) and time.monotonic() < deadline:
            found |= dict(threads.map(answer, [url] * 4))
    return found


def vendor_of_node(url: str, cluster: LocalCluster) -> dict[str, str]:
    """Vendor of each pool -> the label of the node that its replica's actor really runs on."""
    replicas = requests.get(f"{url}/fleet", timeout=10).json()["models"][0]["replicas"]
    output = cluster.execute(ACTORS)
    actors = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    ids = {replica["vendor"]: replica["replica"].rsplit("#", 1)[1] for replica in replicas}
    return {vendor: next(node for name, node in actors.items() if id_ in name) for vendor, id_ in ids.items()}


def streamed(url: str, disturbance: signal.Signals | None = None) -> tuple[str, str]:
    """Reasoning and content of one long greedy answer, whose engine gets this signal in the middle."""
    body = {"model": "gpt-oss", "messages": [{"role": "user", "content": "What is 27 + 58?"}], "stream": True}
    body |= {"temperature": 0, "max_tokens": 400, "ignore_eos": True}
    reasoning = content = ""
    disturbed: list[psutil.Process] = []
    with requests.post(f"{url}/v1/chat/completions", json=body, timeout=60, stream=True) as answer:
        for number, line in enumerate(answer.iter_lines(chunk_size=64)):
            if not line or line == b"data: [DONE]":
                continue
            chunk = json.loads(line.removeprefix(b"data: "))
            assert "error" not in chunk, chunk
            for choice in chunk["choices"]:
                reasoning += choice["delta"].get("reasoning") or ""
                content += choice["delta"].get("content") or ""
            if disturbance and not disturbed and number > 20:
                disturbed = engine_processes(url, answer.headers["x-replica"])
                for process in disturbed:
                    process.send_signal(disturbance)
        assert line == b"data: [DONE]" or not line
    if disturbance:
        assert disturbed
    if disturbance == signal.SIGSTOP:
        for process in disturbed:
            process.resume()
    return reasoning, content


def engine_processes(url: str, replica: str) -> list[psutil.Process]:
    """Every process of the replica's engine."""
    (model,) = requests.get(f"{url}/fleet", timeout=10).json()["models"]
    port = next(told["url"] for told in model["replicas"] if told["replica"] == replica).rsplit(":", 1)[1]
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "deployments.engine.guard" in words and port in words:
            return list(process.children(recursive=True))
    raise AssertionError(f"no engine of {replica}")


@pytest.mark.slow
def test_both_vendors_nodes_serve_one_model(tmp_path: Path) -> None:
    make_token()
    file, url = on_free_port(load_fleet("mixed-cpu"), tmp_path)
    with local_cluster(f"mixed-{os.getpid()}") as cluster:
        serving = cluster.start("exec", str(FILE), f"serve run deployments:app fleet={file}", start_new_session=True)
        try:
            wait_until_ready(url, serving)
            assert answers(url) == {"nvidia": "85", "amd": "85"}
            assert vendor_of_node(url, cluster) == {"nvidia": "nvidia", "amd": "amd"}
            undisturbed = streamed(url)
            assert len(undisturbed[0]) > 40
            assert undisturbed[1]
            frozen_at = time.monotonic()
            assert streamed(url, signal.SIGSTOP) == undisturbed, "the other vendor's engine went on"
            assert time.monotonic() - frozen_at < FROZEN_ANSWER_S
            assert streamed(url, signal.SIGKILL) == undisturbed
        finally:
            if serving.poll() is None:
                os.killpg(serving.pid, signal.SIGINT)
            serving.communicate(timeout=120)
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{url}/health", timeout=5)
    assert not cluster.processes()
