"""Runs at the start of every Python process of an engine, because its folder leads PYTHONPATH there.

Engines start further Python processes in several ways (spawn, fork, `python -m`): only this reaches all of them.
"""

import importlib
import importlib.abc
import importlib.util
import sys
from pathlib import Path

HERE = str(Path(__file__).parent)


class MendBeforeUse(importlib.abc.MetaPathFinder):
    """Mends PyTorch's companions on the first import that may need them: other processes do not pay for it."""

    users = frozenset({"vllm", "transformers", "torchvision", "torchaudio", "torchcodec"})

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name in self.users:
            sys.meta_path.remove(self)
            from cluster.native_libraries import mend

            mend()


class InspectInProcess(importlib.abc.MetaPathFinder):
    """Lets vLLM look at a model's class in the engine's own process, where PyTorch is built for CPUs.

    vLLM starts a process for this at the first start of a model, so that CUDA is not initialised in the engine. That
    process imports PyTorch and vLLM again: 20 s of a core for each engine.
    """

    registry = "vllm.model_executor.models.registry"

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name != self.registry:
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
                module._run_in_subprocess = lambda inspect: inspect()

        spec.loader.exec_module = exec_and_patch  # type: ignore[method-assign]
        return spec


sys.meta_path[:0] = [MendBeforeUse(), InspectInProcess()]

# The machine's own sitecustomize, which this one hides, still runs.
sys.path.remove(HERE)
hiding = sys.modules.pop("sitecustomize", None)
try:
    importlib.import_module("sitecustomize")
except ImportError:
    sys.modules["sitecustomize"] = hiding  # type: ignore[assignment]
