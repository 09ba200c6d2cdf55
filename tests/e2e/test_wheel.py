"""The wheel, installed where there is no checkout: it is complete, `mixfleet doctor` runs, and it serves a fleet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from openai import OpenAI

from cluster.loading import load_fleet
from deployments.engine.process import PROJECT_ROOT
from tests.e2e.embedded.conftest import end_with_ctrl_c, serve_run
from tests.support.fleet_file import on_free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PACKAGES = ("cluster", "deployments", "loadtest", "mixfleet")
OUTSIDE = {"cluster/local.yaml"}
"""Files of the packages that only a checkout has: the command that makes it reads cluster.yaml."""

IMPORT_ALL = """
import importlib, pathlib, pkgutil, sys
for name in ("cluster", "deployments", "loadtest", "mixfleet"):
    package = importlib.import_module(name)
    assert pathlib.Path(package.__file__).is_relative_to(sys.prefix), package.__file__
from cluster.loading import load_fleet
from cluster.checkpoints.vendored import DATA
assert load_fleet("embedded").models and any(DATA.iterdir())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because a build folder in the checkout may hold files that are no longer in the packages."""
    copy = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(PROJECT_ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(PROJECT_ROOT / name, copy)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(copy / "dist"), str(copy)]
    subprocess.run(command, check=True, capture_output=True)
    return next((copy / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elsewhere") / "environment"
    subprocess.run([PROJECT_ROOT / "scripts" / "environment.sh", folder, "embedded", wheel], check=True)
    return folder


@pytest.fixture
def isolated(environment: Path, tmp_path: Path) -> dict[str, str]:
    """Variables of a process of that environment, to which nothing tells where the checkout is."""
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    return {**kept, "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}", "PWD": str(tmp_path)}


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    expected = {
        path.relative_to(PROJECT_ROOT).as_posix()
        for name in PACKAGES
        for path in (PROJECT_ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert expected - held == OUTSIDE


def test_the_packages_import_without_the_checkout(environment: Path, isolated: dict[str, str], tmp_path: Path) -> None:
    command = [environment / "bin" / "python", "-c", IMPORT_ALL]
    ended = subprocess.run(command, cwd=tmp_path, env=isolated, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_doctor_runs_without_the_checkout(environment: Path, isolated: dict[str, str], tmp_path: Path) -> None:
    # What the doctor imports leaves a temporary folder of multiprocessing's behind.
    variables = {**isolated, "TMPDIR": str(tmp_path)}
    command = [environment / "bin" / "mixfleet", "doctor"]
    ended = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert str(PROJECT_ROOT) not in ended.stdout


@pytest.fixture
def fleet_url(environment: Path, isolated: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The embedded fleet, served by the wheel; its processes are gone after Ctrl-C."""
    file, url = on_free_port(load_fleet("embedded"), tmp_path)
    log = tmp_path / "serve.log"
    command = serve_run(file, url, log, serve=environment / "bin" / "serve", folder=tmp_path, environment=isolated)
    family = psutil.Process(command.pid).children(recursive=True)
    try:
        assert any("deployments.engine.guard" in " ".join(process.cmdline()) for process in family)
        assert not any(str(PROJECT_ROOT) in " ".join(process.cmdline()) for process in family)
        yield url
    finally:
        end_with_ctrl_c(command)


def test_the_wheel_serves_the_embedded_fleet(fleet_url: str) -> None:
    client = OpenAI(base_url=f"{fleet_url}/v1", api_key="none", timeout=120, max_retries=0)
    answer = client.chat.completions.create(
        model="gpt-oss", temperature=0, max_tokens=128, messages=[{"role": "user", "content": "What is 27 + 58?"}]
    )
    assert answer.choices[0].message.content == "85"
