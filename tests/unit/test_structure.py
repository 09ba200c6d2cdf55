"""The house's own rules: which package may import which, how long a module may be, and what no file may name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("cluster", "deployments", "loadtest", "mixfleet")
MOST_LINES = 400

FORBIDDEN = {
    "cluster": {"deployments", "loadtest", "mixfleet", "tests", "aiohttp"},
    "deployments": {"loadtest", "mixfleet", "tests"},
    "deployments/routing": {"ray", "aiohttp", "http", "requests", "httpx", "urllib", "vllm", "cluster"},
    "deployments/gateway": {"vllm", "torch"},
    "loadtest": {"mixfleet", "tests"},
    "mixfleet": {"tests"},
}
"""Folder -> top-level packages that nothing in it imports."""

ONLY_IN = {"mlperf_loadgen": "loadtest/loadgen", "vllm": "deployments/engine/vllm/customize"}
"""Package -> the one folder that may import it. vLLM is only ever started, as a process of its own."""

PATHS_OF_A_MACHINE = re.compile(r"(?<![\w.])/(?:home|root|Users|work|mnt)/\w")


def modules(folder: str = "") -> list[Path]:
    roots = [ROOT / folder] if folder else [ROOT / package for package in PACKAGES]
    return sorted(file for root in roots for file in root.rglob("*.py"))


def imported(file: Path) -> Iterator[str]:
    """Full names of what a module imports, at its top and inside functions."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}:{node.lineno}: relative import"
            yield node.module or ""


def test_there_is_something_to_check() -> None:
    assert {file.relative_to(ROOT).parts[0] for file in modules()} == set(PACKAGES)
    assert "ray" in {name.split(".")[0] for name in imported(ROOT / "deployments/app.py")}


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_import_arrows(folder: str) -> None:
    wrong = {
        f"{file.relative_to(ROOT)} imports {name}"
        for file in modules(folder)
        for name in imported(file)
        if name.split(".")[0] in FORBIDDEN[folder]
    }
    assert not wrong


@pytest.mark.parametrize("package", ONLY_IN)
def test_packages_with_one_door(package: str) -> None:
    importing = [file.relative_to(ROOT) for file in modules() if package in {n.split(".")[0] for n in imported(file)}]
    assert [file for file in importing if not file.is_relative_to(ONLY_IN[package])] == []


def test_routing_imports_of_its_own_project_only_itself() -> None:
    ours = {n for file in modules("deployments/routing") for n in imported(file) if n.split(".")[0] in PACKAGES}
    assert ours
    assert all(name.startswith("deployments.routing") for name in ours)


def test_no_module_is_too_long() -> None:
    files = [*modules(), *modules("tests")]
    assert {file.name: lines for file in files if (lines := len(file.read_text().splitlines())) > MOST_LINES} == {}


def test_no_file_names_a_path_of_a_machine() -> None:
    kinds = ("*.py", "*.yaml", "*.toml", "*.md", "*.sh", "*.txt", "Makefile")
    roots = [ROOT / folder for folder in (*PACKAGES, "tests", "scripts", "constraints", ".ci", "docs")]
    files = [file for root in roots for kind in kinds for file in root.rglob(kind) if file != Path(__file__)]
    files += [file for kind in kinds for file in ROOT.glob(kind)]
    assert len(files) > 100
    found = [f"{f.relative_to(ROOT)}: {m[0]}" for f in files for m in PATHS_OF_A_MACHINE.finditer(f.read_text())]
    assert found == []
