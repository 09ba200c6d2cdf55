"""The environment's scripts and locks: pip's configuration as uv reads it, and locks that are complete and hashed."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "constraints").glob("*-py*.txt"))
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def uv_settings() -> ModuleType:
    spec = importlib.util.spec_from_file_location("uv_settings", ROOT / "scripts" / "uv_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_environment_takes_precedence_over_pips_files(uv_settings: ModuleType) -> None:
    listing = ":env:.cert='/env.pem'\nglobal.cert='/global.pem'\ninstall.timeout='9'\nglobal.timeout='5'\n"
    assert uv_settings.parse(listing) == {"cert": "/env.pem", "timeout": "9"}


def test_sections_of_other_commands_and_other_lines_are_left_out(uv_settings: ModuleType) -> None:
    assert uv_settings.parse("download.find-links='/a'\nWARNING: nothing\n\nglobal.index-url='https://a/simple'") == {
        "index-url": "https://a/simple"
    }


def test_several_entries_are_separated_as_uv_reads_them(uv_settings: ModuleType) -> None:
    options = uv_settings.parse(
        "global.extra-index-url='\\nhttps://a/simple\\nfile:///b/simple'\nglobal.find-links='/a /b'\n"
        "global.constraint='/c.txt /d.txt'\nglobal.trusted-host='a b'\n"
    )
    assert uv_settings.uv_variables(options) == {
        "UV_SYSTEM_CERTS": "true",
        "UV_INDEX": "https://a/simple file:///b/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/a,/b",
        "UV_CONSTRAINT": "/c.txt /d.txt",
        "UV_INSECURE_HOST": "a b",
    }


def test_a_path_of_a_certificate_may_hold_spaces(uv_settings: ModuleType) -> None:
    options = uv_settings.parse("global.cert='/my certificates/ca.pem'")
    assert uv_settings.uv_variables(options)["SSL_CERT_FILE"] == "/my certificates/ca.pem"


def test_without_configuration_uv_only_uses_the_systems_certificates(uv_settings: ModuleType) -> None:
    assert uv_settings.uv_variables({}) == {"UV_SYSTEM_CERTS": "true"}


def test_variables_of_uv_that_are_set_are_kept(
    uv_settings: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_TIMEOUT", "7")
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "3")
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:it's@host/simple")
    uv_settings.main()
    exports = capsys.readouterr().out.splitlines()
    assert not [line for line in exports if "UV_HTTP_TIMEOUT" in line]
    assert """export UV_DEFAULT_INDEX='https://user:it'"'"'s@host/simple'""" in exports


def test_there_is_a_lock_for_each_extra_and_python() -> None:
    assert [lock.stem for lock in LOCKS] == [
        f"{extra}-py{version}" for extra in ("amd", "embedded", "nvidia") for version in (311, 312, 313)
    ]


@pytest.mark.parametrize("lock", [*LOCKS, ROOT / "constraints" / "installers.txt"], ids=lambda lock: lock.stem)
def test_locks_hold_pins_with_hashes_and_no_source(lock: Path) -> None:
    rest = PIN.sub("", lock.read_text())
    assert [line for line in rest.splitlines() if line and not line.lstrip().startswith("#")] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_locks_hold_every_package_that_the_project_names(lock: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    named = [*project["project"]["dependencies"], *project["build-system"]["requires"], *extras["dev"]]
    named += extras[lock.stem.partition("-")[0]]
    pinned = {name for name, _, _ in PIN.findall(lock.read_text())}
    names = {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~!; ]", requirement)[0]).lower() for requirement in named}
    assert names - pinned == set()


def test_the_embedded_lock_takes_pytorchs_build_for_cpus() -> None:
    for lock in LOCKS:
        pins = {name: version for name, version, _ in PIN.findall(lock.read_text())}
        assert pins.get("torch", "").endswith("+cpu") == lock.stem.startswith("embedded")
