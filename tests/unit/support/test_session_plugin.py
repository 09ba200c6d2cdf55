"""A session of tests that leaves something behind, or skips in silence, fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deployments.engine.process import PROJECT_ROOT
from tests.support.skips import DECLARED

pytestmark = pytest.mark.slow  # a session of pytest each

PASSES = "def test_it():\n    assert True\n"


@dataclass(frozen=True)
class Session:
    """A session of pytest that has ended."""

    code: int
    output: str
    report: dict[str, Any]
    temporary: Path

    @property
    def left_in_temporary(self) -> list[str]:
        return [entry.name for entry in self.temporary.iterdir()]


def session(folder: Path, tests: str, *options: str, **environment: str) -> Session:
    """Runs `tests` as a session of its own, below its own temporary folder."""
    (folder / "test_inner.py").write_text(tests)
    temporary, report = folder / "t", folder / "report.json"
    temporary.mkdir()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
    ]
    command += ["-c", os.devnull, f"--report-file={report}", *options, str(folder / "test_inner.py")]
    inherited = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST")}
    ended = subprocess.run(
        command,
        cwd=PROJECT_ROOT,
        env={**inherited, "TMPDIR": str(temporary), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert report.exists(), ended.stdout + ended.stderr
    return Session(ended.returncode, ended.stdout + ended.stderr, json.loads(report.read_text()), temporary)


def test_a_clean_session_passes_and_removes_its_home(tmp_path: Path) -> None:
    ended = session(tmp_path, PASSES)
    assert ended.code == 0, ended.output
    assert (ended.report["passed"], ended.report["failed"], ended.report["left_behind"]) == (1, [], [])
    assert ended.left_in_temporary == []


def test_tests_write_into_the_sessions_home_and_not_into_the_users(tmp_path: Path) -> None:
    asserts = "    assert pathlib.Path.home().parent == pathlib.Path(tempfile.gettempdir())\n"
    tests = "import pathlib, tempfile\ndef test_it():\n" + asserts + "    (pathlib.Path.home() / '.left').touch()\n"
    ended = session(tmp_path, tests)
    assert ended.code == 0, ended.output
    assert ended.left_in_temporary == []


def test_a_process_that_outlives_its_tests_fails_the_session_and_is_ended(tmp_path: Path) -> None:
    tests = "import subprocess\ndef test_it():\n    subprocess.Popen(['sleep', '601'], start_new_session=True)\n"
    ended = session(tmp_path, tests, "--end-within", "0.5")
    assert ended.code == 1
    (left,) = ended.report["left_behind"]
    assert left.endswith("sleep 601 ")
    pid = int(left.split()[1].rstrip(":"))
    assert not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    assert "left behind: process" in ended.output


def test_a_file_left_in_the_temporary_folder_fails_the_session(tmp_path: Path) -> None:
    tests = "import tempfile\ndef test_it():\n    tempfile.mkstemp(prefix='forgotten-')\n"
    ended = session(tmp_path, tests)
    assert ended.code == 1
    (left,) = ended.report["left_behind"]
    assert left.startswith("file forgotten-")


def test_a_failed_session_keeps_its_temporary_files_and_names_their_folder(tmp_path: Path) -> None:
    ended = session(tmp_path, "def test_it(tmp_path):\n    (tmp_path / 'x').touch()\n    assert False\n")
    assert ended.code == 1
    (kept,) = ended.left_in_temporary
    assert f"kept in {ended.temporary / kept}" in ended.output
    assert [name.rpartition("::")[2] for name in ended.report["failed"]] == ["test_it"]


def test_a_declared_skip_passes_and_names_what_would_enable_it(tmp_path: Path) -> None:
    reason = next(iter(DECLARED))
    tests = f"from tests.support.skips import skip\ndef test_it():\n    skip({reason!r})\n"
    ended = session(tmp_path, tests, CI="true")
    assert ended.code == 0, ended.output
    assert f"skipped 1 ({reason}): they need {DECLARED[reason]}" in ended.output


@pytest.mark.parametrize(("environment", "code"), [({"CI": "true"}, 1), ({}, 0)])
def test_an_undeclared_skip_is_listed_and_fails_only_in_ci(
    tmp_path: Path, environment: dict[str, str], code: int
) -> None:
    ended = session(tmp_path, "import pytest\ndef test_it():\n    pytest.skip('no time')\n", **environment)
    assert ended.code == code, ended.output
    assert "skipped without a declared reason" in ended.output
    assert "no time" in ended.output


def test_parallel_workers_share_the_sessions_home(tmp_path: Path) -> None:
    tests = (
        "import os, pathlib, pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_it(n):\n"
        "    (pathlib.Path.home() / os.environ['MIXFLEET_TEST_SESSION']).touch()\n"
        "    assert len(list(pathlib.Path.home().glob('[!.]*'))) == 1\n"
    )
    ended = session(tmp_path, tests, "--numprocesses", "2")
    assert ended.code == 0, ended.output
    assert ended.report["passed"] == 4
    assert ended.left_in_temporary == []
