"""Offline through the whole fleet against bare `LLM.generate`: Whisper base, same flags and clips, alternated."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.fleet import Fleet
from cluster.loading import load_fleet
from deployments.engine.process import PROJECT_ROOT, free_port
from deployments.engine.vllm.backend import CUSTOMIZE
from tests.support.offline import offline, rate

ROUNDS = 5
COPIES = 6
"""Of each of the five clips: 30 samples a run."""


def whisper_fleet() -> Fleet:
    fleet = load_fleet("embedded")
    whisper = [model for model in fleet.models if model.name == "whisper"]
    gateway = fleet.gateway.model_copy(update={"port": free_port("127.0.0.1")})
    return fleet.model_copy(update={"models": whisper, "gateway": gateway, "mlperf": True})


@contextmanager
def bare_engine(manifest: Path, fleet: Fleet) -> Iterator[subprocess.Popen[str]]:
    """A process with `LLM(...)` loaded, that times one `generate` over the manifest for every line it reads."""
    pool = fleet.models[0].pools[0]
    environment = {**os.environ, **pool.env, "PYTHONPATH": f"{CUSTOMIZE}:{PROJECT_ROOT}"}
    flags = json.dumps({**pool.flags, "max-num-seqs": pool.slots})
    command = [sys.executable, "-m", "tests.support.bare_whisper", str(manifest), flags]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=PROJECT_ROOT
    ) as engine:
        try:
            seconds(engine)  # loads, and warms up
            yield engine
        finally:
            engine.terminate()


def seconds(engine: subprocess.Popen[str]) -> float:
    assert engine.stdin is not None
    assert engine.stdout is not None
    engine.stdin.write("go\n")
    engine.stdin.flush()
    for line in engine.stdout:
        if line.startswith("seconds "):
            return float(line.split()[1])
    raise RuntimeError("the bare engine has ended")


def repeated_manifest(folder: Path) -> Path:
    """The embedded clips, each several times, in MLCommons' format."""
    from loadtest.benchmarks.embedded_speech import write_speech

    write_speech(folder)
    manifest = folder / "dev-all-repack.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) * COPIES))
    return manifest


def run() -> dict[str, float]:
    from deployments.local_ray import join_or_start
    from deployments.run import serving

    fleet = whisper_fleet()
    bare, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        manifest = repeated_manifest(Path(folder))
        clips = len(json.loads(manifest.read_text()))
        join_or_start("local")
        with serving(fleet) as url, bare_engine(manifest, fleet) as engine:
            offline("whisper", url, clips, manifest)  # warms up
            for _ in range(ROUNDS):
                bare.append(clips / seconds(engine))
                ours.append(rate(offline("whisper", url, clips, manifest)))
    return {
        "LLM.generate, clips/s": statistics.median(bare),
        "Offline, clips/s": statistics.median(ours),
        "Offline / LLM.generate, median of pairs": statistics.median(o / b for o, b in zip(ours, bare, strict=True)),
    }
