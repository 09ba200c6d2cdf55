"""Runs at the start of every Python process of an engine, because its folder leads PYTHONPATH there.

Engines start further Python processes in several ways (spawn, fork, `python -m`): only this reaches all of them.
"""

import importlib
import importlib.abc
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


sys.meta_path.insert(0, MendBeforeUse())

# The machine's own sitecustomize, which this one hides, still runs.
sys.path.remove(HERE)
hiding = sys.modules.pop("sitecustomize", None)
try:
    importlib.import_module("sitecustomize")
except ImportError:
    sys.modules["sitecustomize"] = hiding  # type: ignore[assignment]
