"""One model in two pools on nodes tagged nvidia and amd: real engines, placed by label, behind one address."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from deployments.engine.process import PROJECT_ROOT


def test_both_vendors_nodes_serve_one_model() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.mixed_cluster"],
        cwd=PROJECT_ROOT,
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-6000:]
    seen = json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("{")))
    assert seen["answers"] == {"nvidia": "85", "amd": "85"}
    assert seen["vendor_of_node"] == {"nvidia": "nvidia", "amd": "amd"}
