"""vLLM's own router (PyPI `vllm-router`), which the benches hold the gateway against, in an environment of its own."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from deployments.engine.process import PROJECT_ROOT, free_port
from deployments.replica_info import ReplicaInfo
from tests.support.cache_reporters import facts_of, waited
from tests.support.processes import HOST, process

VERSION = "0.1.17"
"""The newest on PyPI in November 2026; it has `kv_aware`."""

ENVIRONMENT = PROJECT_ROOT / "build" / f"vllm-router-{VERSION}"
INSTALL_TIMEOUT_S = 300


def kv_sources(engines: Sequence[ReplicaInfo]) -> list[str]:
    """Arguments that tell `kv_aware` where KV events come from: it asks engines by a route that vLLM 0.32 has not.

    Even so it knows prefixes only of requests that bring token ids: it tokenises nothing for HTTP engines.
    """
    (block_size,) = {engine.block_size for engine in engines}
    words = ["--kv-event-block-size", str(block_size), "--kv-event-model", engines[0].model]
    for engine in engines:
        facts = waited(facts_of(engine.url))
        words += ["--kv-event-source", f"{engine.url}={facts.kv_events}"]
        words += ["--kv-event-replay-source", f"{engine.url}={facts.kv_replay}"]
    return words


def installed() -> Path:
    """The router's command, installed on first use. Raises subprocess.CalledProcessError where pip cannot get it."""
    command = ENVIRONMENT / "bin" / "vllm-router"
    ENVIRONMENT.parent.mkdir(exist_ok=True)
    with FileLock(ENVIRONMENT.with_suffix(".lock")):
        if not command.is_file():
            print(f"installing vllm-router {VERSION} into {ENVIRONMENT.relative_to(PROJECT_ROOT)}", file=sys.stderr)
            venv.create(ENVIRONMENT, with_pip=True, clear=True)
            pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
            subprocess.run([*pip, f"vllm-router=={VERSION}"], check=True, timeout=INSTALL_TIMEOUT_S)
    return command


@contextmanager
def vllm_router(policy: str, engines: Sequence[ReplicaInfo], log_level: str = "error") -> Iterator[tuple[str, int]]:
    """The address and process id of a router with this policy over engines that answer already."""
    port = free_port(HOST)
    command = [str(installed()), "--host", HOST, "--port", str(port), "--prometheus-port", str(free_port(HOST))]
    command += ["--policy", policy, "--worker-startup-check-interval", "1", "--log-level", log_level]
    command += ["--worker-urls", *[engine.url for engine in engines]]
    command += kv_sources(engines) if policy == "kv_aware" else []
    with process(command, f"http://{HOST}:{port}/readiness") as running:
        yield f"http://{HOST}:{port}", running.pid
