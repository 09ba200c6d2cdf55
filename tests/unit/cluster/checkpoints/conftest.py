"""A small recipe that children can import too: it logs what it does and its build waits while a file `hold` exists."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.checkpoints.recipe import Recipe

REPOSITORY = Path(__file__).parents[4]
MODULE = """
import time
from dataclasses import dataclass
from pathlib import Path
from cluster.checkpoints.recipe import Recipe, Variant

HERE = Path(__file__).parent

def log(word):
    with (HERE / "log").open("a") as file:
        file.write(word + "\\n")

@dataclass(frozen=True)
class Source:
    label = "a toy source"
    def fetch(self, downloads, report):
        if not (downloads / "part").exists():
            log("fetch")
            (downloads / "part").write_text("the weights")
        return {"part": downloads / "part"}

def build(files, folder, report):
    log("build")
    (folder / "below").mkdir()
    (folder / "below" / "weights").write_text("the w")
    while (HERE / "hold").exists():
        time.sleep(0.01)
    (folder / "below" / "weights").write_text(files["part"].read_text())
    (folder / "config.json").write_text("{}")

RECIPE = Recipe("toy", 1, (Variant(Source(), "toy_recipe:build"),), {"TOY_FOLDER": "below"})
"""
CHILD = """
import sys
from pathlib import Path
from cluster.checkpoints.progress import Console
from cluster.checkpoints.store import prepare
from toy_recipe import RECIPE
print(prepare(RECIPE, Path(sys.argv[1]), Console()))
"""


@dataclass
class Toy:
    recipe: Recipe
    folder: Path
    children: list[subprocess.Popen[str]]

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def log(self) -> list[str]:
        path = self.folder / "log"
        return path.read_text().split() if path.exists() else []

    def hold(self) -> None:
        (self.folder / "hold").touch()

    def let_go(self) -> None:
        (self.folder / "hold").unlink()

    def start(self) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(self.cache)],
            env={**os.environ, "PYTHONPATH": f"{self.folder}{os.pathsep}{REPOSITORY}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.children.append(child)
        return child

    def wait_until(self, seen: Callable[[], bool], limit_s: float = 30) -> None:
        deadline = time.monotonic() + limit_s
        while not seen():
            assert time.monotonic() < deadline, "the children did not get that far"
            time.sleep(0.01)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Toy]:
    (tmp_path / "toy_recipe.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("toy_recipe", None)
    made = Toy(importlib.import_module("toy_recipe").RECIPE, tmp_path, [])
    yield made
    sys.modules.pop("toy_recipe", None)
    for child in made.children:
        child.kill()
        child.communicate()
