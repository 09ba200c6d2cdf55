"""`make demo`: starts the embedded fleet once, asks each model something, measures all three, and shows the table."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import ray
from openai import DefaultHttpxClient, OpenAI

from cluster.checkpoints import prepare_all
from cluster.command_line import run, single
from cluster.fleet import Gateway
from cluster.loading import load_fleet
from cluster.ray_address import VARIABLE as RAY_ADDRESS
from deployments.local_ray import join_or_start
from deployments.run import serving
from loadtest.benchmarks import BENCHMARKS
from loadtest.benchmarks.embedded import raw_data
from loadtest.benchmarks.embedded_digits import INK, digit_png
from loadtest.commands import DEMO

QUESTION = "What is 27 + 58?"
REQUEST_TIMEOUT_S = 120
SCAN = 7
INKS = " .:-=+*#%@"


def transcript(client: OpenAI) -> str:
    clip = min(raw_data("speech").glob("*.wav"))
    with clip.open("rb") as file:
        heard = client.audio.transcriptions.create(model="whisper", file=file, language="en", temperature=0)
    return f"whisper     {clip.name}\n            -> {heard.text.strip()}"


def picture(client: OpenAI) -> str:
    scan = np.loadtxt(raw_data("digits") / "digits.csv.gz", delimiter=",", max_rows=SCAN + 1)[SCAN]
    shades = scan[:64].reshape(8, 8).astype(int) * (len(INKS) - 1) // INK
    drawn = "\n".join("            " + "".join(INKS[shade] * 2 for shade in line) for line in shades)
    address = "data:image/png;base64," + base64.b64encode(digit_png(scan[:64])).decode()
    parts: Any = [{"type": "image_url", "image_url": {"url": address}}, {"type": "text", "text": "Describe the image."}]
    answer = client.chat.completions.create(
        model="qwen3-vl", temperature=0, max_tokens=32, messages=[{"role": "user", "content": parts}]
    )
    return f"qwen3-vl    a scan labelled {scan[64]:.0f}\n{drawn}\n            -> {answer.choices[0].message.content}"


def reasoning(client: OpenAI) -> str:
    answer = client.chat.completions.create(
        model="gpt-oss", temperature=0, max_tokens=128, messages=[{"role": "user", "content": QUESTION}]
    )
    message = answer.choices[0].message
    thought = (message.model_extra or {}).get("reasoning", "")
    return f"gpt-oss     {QUESTION}\n            reasoning: {thought}\n            -> {message.content}"


QUESTIONS: tuple[Callable[[OpenAI], str], ...] = (transcript, picture, reasoning)


def on_a_free_port(gateway: Gateway) -> Gateway:
    """The gateway on its own port, or, where something listens there already, on one that the OS chooses."""
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((gateway.host, gateway.port))
        except OSError:
            return gateway.model_copy(update={"port": 0})
    return gateway


def measure(url: str, out: Path) -> bool:
    """One process per test: LoadGen's configuration loads once per process."""
    ray_address = {RAY_ADDRESS: ray.get_runtime_context().gcs_address}
    valid = True
    for benchmark in BENCHMARKS:
        command = [sys.executable, "-m", "loadtest.offline", "--benchmark", benchmark, "--quick"]
        ended = subprocess.run([*command, "--endpoint", url, "--out", str(out)], env={**os.environ, **ray_address})
        valid = valid and ended.returncode == 0
    return valid


def demo() -> int:
    """0: all three tests are valid; 1: one is not."""
    started = time.monotonic()

    def step(text: str) -> None:
        print(f"[{time.monotonic() - started:4.0f} s] {text}", flush=True)

    preset = load_fleet("embedded")
    fleet = preset.model_copy(update={"mlperf": True, "gateway": on_a_free_port(preset.gateway)})
    step("starting Ray, and preparing the embedded checkpoints beside it (10 s; the first time 130 MB to download)")
    os.environ.pop(RAY_ADDRESS, None)  # it always starts a Ray of its own
    # Ray's start mostly waits for its processes, and a download for the network.
    with ThreadPoolExecutor(max_workers=1) as beside:
        checkpoints = beside.submit(prepare_all, [model.checkpoint for model in fleet.models], fleet.cache_folder)
        join_or_start("local")
        checkpoints.result()
    step("starting three vLLM engines on this machine's CPU (one to two minutes)")
    with serving(fleet) as url:
        step(f"the fleet answers on {url}/v1")
        direct = DefaultHttpxClient(trust_env=False)  # the gateway is on this machine, whatever proxy is set
        client = OpenAI(base_url=f"{url}/v1", api_key="none", timeout=REQUEST_TIMEOUT_S, http_client=direct)
        for ask in QUESTIONS:
            print(ask(client), flush=True)
        out = Path("results") / time.strftime("demo-%Y%m%d-%H%M%S")
        step("measuring all three with MLCommons' LoadGen: MLPerf Offline, shortened (one minute)")
        valid = measure(url, out)
        step("stopping the fleet")
    subprocess.run([sys.executable, "-m", "loadtest.report", str(out)], check=False)
    step("done" if valid else "done, with a run that is not valid: see above")
    return 0 if valid else 1


def main(arguments: Sequence[str]) -> int:
    return run(single(DEMO, demo), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
