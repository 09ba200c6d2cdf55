"""Lets vLLM's server import PyTorch and vLLM once where PyTorch is built for CPUs, instead of two or three times.

It replaces two of vLLM's own functions, each right after its module is imported. Where vLLM renames them, engines start
as slowly as without; tests/e2e/test_vllm_contract.py then fails. docs/decisions.md has the measurement.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any


class PatchAfterImport(importlib.abc.MetaPathFinder):
    """Runs `patch` on a module as soon as it is imported, where PyTorch is built for CPUs."""

    def __init__(self, name: str, patch: Callable[[Any], None]) -> None:
        self.name, self.patch = name, patch

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        exec_module = spec.loader.exec_module

        def exec_and_patch(module):  # type: ignore[no-untyped-def]
            exec_module(module)
            import torch

            if torch.version.cuda is None and torch.version.hip is None:
                self.patch(module)

        spec.loader.exec_module = exec_and_patch  # type: ignore[method-assign]
        return spec


def inspect_in_process(registry: Any) -> None:
    """At a model's first start, vLLM inspects its class in a new process, so that CUDA is not initialised here.

    That process imports PyTorch and vLLM again, which takes 15 s of a core.
    """
    registry._run_in_subprocess = lambda inspect: inspect()


def fork_the_core(system_utils: Any) -> None:
    """vLLM's server spawns the engine's core on CPUs, which imports all again; it forks it where CUDA is not in use.

    Forked is safe with one OpenMP thread: the server has started no pool of threads that the core would miss.
    """
    if os.environ.get("OMP_NUM_THREADS") == "1":
        import multiprocessing  # not for every process of an engine

        system_utils.get_mp_context = lambda: multiprocessing.get_context("fork")


def install() -> None:
    """Puts the patches before all other finders: each waits for the import of its module."""
    sys.meta_path[:0] = [
        PatchAfterImport("vllm.model_executor.models.registry", inspect_in_process),
        PatchAfterImport("vllm.utils.system_utils", fork_the_core),
    ]
