"""Runs at the start of every Python process of an engine, because its folder leads PYTHONPATH there.

Engines start further Python processes in several ways (spawn, fork, `python -m`): only this reaches all of them.
"""

import importlib
import sys
from pathlib import Path

from cluster import mend_on_import
from deployments.engine.vllm.customize import cpu_start

HERE = str(Path(__file__).parent)

mend_on_import.install()
cpu_start.install()

# The machine's own sitecustomize, which this one hides, still runs.
sys.path.remove(HERE)
hiding = sys.modules.pop("sitecustomize", None)
try:
    importlib.import_module("sitecustomize")
except ImportError:
    sys.modules["sitecustomize"] = hiding  # type: ignore[assignment]
