"""The benchmarks by name."""

from __future__ import annotations

from importlib import import_module

from loadtest.benchmarks.base import Benchmark

BENCHMARKS = {
    "whisper": "loadtest.benchmarks.whisper:Whisper",
    "qwen3-vl": "loadtest.benchmarks.qwen3_vl:Qwen3VL",
    "gpt-oss": "loadtest.benchmarks.gpt_oss:GptOss",
}
"""Name -> class, imported on use, so that a process loads only what its benchmark needs."""


def benchmark(name: str) -> Benchmark:
    """The benchmark of that name. Raises KeyError for an unknown one."""
    module, _, attribute = BENCHMARKS[name].partition(":")
    made: Benchmark = getattr(import_module(module), attribute)()
    return made
