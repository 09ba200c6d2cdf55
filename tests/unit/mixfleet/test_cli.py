from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from cyclopts import App

from cluster import commands as cluster
from cluster.__main__ import app as cluster_app
from cluster.command_line import Command, run, single
from loadtest import commands as loadtest
from loadtest.data.__main__ import app as data_app
from mixfleet.cli import app, main

COMMANDS: Sequence[Command] = (*cluster.COMMANDS, *loadtest.COMMANDS, *loadtest.DATA_COMMANDS)
REQUIRED = {
    "validate": "FLEET",
    "kuberay": "FLEET",
    "offline": "--benchmark",
    "compliance": "--test",
    "submission": "--runs",
    "simulate": "--trace",
    "replay": "--trace",
    "batch": "--input",
    "report": "FOLDER",
    "data check": "PATH",
}
"""A command -> what it misses first where it gets no options."""


def status_of(arguments: Sequence[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    code = ended.value.code
    assert isinstance(code, int)
    return code


def options(found: App, words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of a command's help below its usage: every option with its help, choices and default."""
    assert run(found, [*words, "--help"]) == 0
    return capsys.readouterr().out.splitlines()[1:]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_lists_every_command_with_a_whole_sentence(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    *group, name = command.name.split()
    assert status_of([*group, "--help"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.strip().startswith(f"{name}: "))
    assert line.endswith("."), "its description is a whole sentence on one line"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_help_for_every_option(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of([*command.name.split(), "--help"]) == 0
    printed = capsys.readouterr().out
    assert command.help.splitlines()[0] in printed
    entries = [line.strip() for line in printed.splitlines() if line.startswith("  --")]
    assert not [entry for entry in entries if entry.partition(": ")[2][:1] in ("", "[")]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_python_m_and_mixfleet_have_the_same_options(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    package, *words = command.module.split()
    module, _, function = command.function.partition(":")
    if words:
        alone = cluster_app() if package == "cluster" else data_app()
    else:
        alone = single(command, getattr(import_module(module), function))
    assert options(alone, words, capsys) == options(app(), command.name.split(), capsys)
    assert find_spec(package if package.count(".") else f"{package}.__main__") is not None


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(["--version"]) == 0
    assert capsys.readouterr().out.strip() == version("mixfleet")


@pytest.mark.parametrize(("command", "missing"), REQUIRED.items())
def test_a_missing_option_is_a_usage_error(command: str, missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(command.split()) == 2
    usage, error = capsys.readouterr().err.splitlines()
    assert usage.startswith(f"usage: mixfleet {command} ")
    assert error.startswith(f"error: {missing} is required")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "a command is missing; choose one of validate, show,"),
        (["data"], "a command is missing; choose one of check, repack-librispeech, make-small, prompt"),
        (["statsu"], "unknown command 'statsu'; did you mean status?"),
        (["status", "--wacht"], "unknown option: --wacht. Did you mean --watch?"),
        (["status", "now"], "unexpected argument 'now'"),
        (["status", "--no-watch"], "unknown option: --no-watch"),
        (["offline", "--benchmark"], "--benchmark needs a value"),
        (["offline", "--benchmark", "gpt-oss", "--attempts", "2.5"], "--attempts: '2.5' is not a whole number"),
        (["offline", "--benchmark", "gpt-oss", "--timeout", "soon"], "--timeout: 'soon' is not a number"),
        (
            ["offline", "--benchmark", "gpt-oss", "--round", "v7"],
            "--round: invalid choice: 'v7' (choose from v6.0, v6.1)",
        ),
    ],
)
def test_usage_errors_are_two_plain_lines(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    usage, error = printed.err.splitlines()
    assert usage.startswith("usage: mixfleet ")
    assert error.startswith(f"error: {message}")


def test_a_command_keeps_its_exit_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended_by(how: object) -> int:
        def run(_: object) -> bool:
            if isinstance(how, BaseException):
                raise how
            return bool(how)

        monkeypatch.setattr("loadtest.batch.__main__.run", run)
        return status_of(["batch", "--input", "a", "--output", "b"])

    assert [ended_by(how) for how in (True, False, KeyboardInterrupt())] == [0, 1, 130]
    assert status_of(["validate", "nowhere"]) == 2
    assert status_of(["report", str(tmp_path)]) == 2


@pytest.mark.parametrize(
    ("arguments", "status", "keys"),
    [
        (["validate", "embedded"], 0, {"fleet", "valid", "models", "pools", "replicas", "errors"}),
        (["validate", "nowhere"], 2, {"fleet", "valid", "errors"}),
        (["show", "embedded"], 0, {"fleet", "replicas", "warnings"}),
        (["key"], 0, {"key", "key_sha256"}),
        (["status"], 1, {"error"}),
    ],
)
def test_json_is_json(arguments: list[str], status: int, keys: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of([*arguments, "--json"]) == status
    assert set(json.loads(capsys.readouterr().out)) == keys


def test_help_imports_neither_ray_nor_what_commands_need() -> None:
    code = (
        "import sys; from mixfleet.cli import app; app()(['--help'], result_action='return_value');"
        "print([m for m in ('ray', 'pandas', 'numpy', 'pydantic', 'aiohttp', 'vllm', 'torch') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"
