"""Runs a node's commands on this machine, as if it were a machine of its own."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click import ClickException
from ray.autoscaler.command_runner import CommandRunnerInterface

from cluster.process_nodes.marked import MARKER

RAY = """\
#!/bin/sh
# `ray stop` ends whatever Ray runs on a machine. This machine is many nodes: here it ends what runs on this one.
[ "$1" = stop ] && exec {python} -m cluster.process_nodes.marked
exec {ray} "$@"
"""
INTERRUPTED_FOR_S = 60
LEFT_OUT = ("RAY_ADDRESS",)


class NodeShell(CommandRunnerInterface):  # type: ignore[misc]  # Ray's classes have no types
    """A node's home is a folder; its processes have the node's name, home, address and ports in their environment."""

    def __init__(self, name: str, home: Path, environment: Mapping[str, str]) -> None:
        self._home = home
        self._environment = {
            **environment,
            MARKER: name,
            # Processes that set a title of their own would write it over their environment, and the mark with it.
            "SPT_NOENV": "1",
            "HOME": str(home),
            "PATH": f"{_programs(home)}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def run(
        self,
        cmd: str | None = None,
        timeout: float = 120,
        exit_on_fail: bool = False,
        port_forward: object = None,
        with_output: bool = False,
        environment_variables: dict[str, object] | None = None,
        run_env: str = "auto",
        ssh_options_override_ssh_key: str = "",
        shutdown_after_run: bool = False,
    ) -> str:
        """Runs a command to its end, or a shell without one. Raises ClickException where it fails.

        `timeout` is for reaching a node: as with Ray's own runners, a command takes as long as it takes.
        """
        given = {k: v if isinstance(v, str) else json.dumps(v) for k, v in (environment_variables or {}).items()}
        inherited = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
        running = subprocess.Popen(
            ["bash", "-c", cmd] if cmd else ["bash", "-i"],
            env={**inherited, **self._environment, **given},
            cwd=self._home,
            stdin=subprocess.DEVNULL if cmd else None,
            stdout=subprocess.PIPE if with_output else None,
            text=True,
        )
        try:
            output, _ = running.communicate()
        except BaseException:
            # Ctrl-C reaches the command too: it ends in its own time, but not never.
            _end(running)
            raise
        if running.returncode and cmd:
            raise ClickException(f"on the node of {self._home}, `{cmd}` failed with {running.returncode}")
        return output or ""

    def run_rsync_up(self, source: str, target: str, options: dict[str, Any] | None = None) -> None:
        _copy(source, self._at_home(target))

    def run_rsync_down(self, source: str, target: str, options: dict[str, Any] | None = None) -> None:
        _copy(self._at_home(source), target)

    def remote_shell_command_str(self) -> str:
        variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in self._environment.items())
        return f"env {variables} bash"

    def run_init(self, *, as_head: bool, file_mounts: dict[str, str], sync_run_yet: bool) -> bool | None:
        return None

    def _at_home(self, path: str) -> str:
        return path.replace("~", str(self._home), 1) if path.startswith("~") else path


def _end(running: subprocess.Popen[str]) -> None:
    try:
        running.wait(INTERRUPTED_FOR_S)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()


def _programs(home: Path) -> Path:
    """The folder of a node's own programs, which come before all others."""
    folder = home / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "ray"
    if not program.exists():
        # Complete from the moment it has its name: without it the real one would be found.
        written = folder / f"ray.{os.getpid()}.{threading.get_ident()}"
        python, ray = shlex.quote(sys.executable), shlex.quote(str(Path(sys.executable).parent / "ray"))
        written.write_text(RAY.format(python=python, ray=ray))
        written.chmod(0o755)
        written.replace(program)
    return folder


def _copy(source: str, target: str) -> None:
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    if Path(source).is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)
