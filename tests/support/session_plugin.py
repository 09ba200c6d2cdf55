"""The pytest plugin of a whole session: its own home, no process or file left behind, no silent skip, one report."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.session_home import SessionHome
from tests.support.skips import DECLARED, declared


class SessionPlugin:
    """Runs in the process that collects the results: pytest itself, or the controller of its parallel workers."""

    def __init__(self, home: SessionHome, report_file: Path | None, end_within_s: float) -> None:
        self._home, self._report_file, self._end_within_s = home, report_file, end_within_s
        self._outcomes: Counter[str] = Counter()
        self._failed: list[str] = []
        self._skipped: list[tuple[str, str]] = []
        self._seconds: Counter[str] = Counter()
        self._left_behind: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration
        if report.failed:
            self._failed.append(report.nodeid)
        if report.skipped:
            self._skip(report.nodeid, report.longrepr)
        if report.when == "call" and report.passed:
            self._outcomes["passed"] += 1

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._failed.append(report.nodeid)
        elif report.skipped:
            self._skip(report.nodeid, report.longrepr)

    def _skip(self, test: str, longrepr: Any) -> None:
        self._skipped.append((test, str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)))

    @property
    def _undeclared(self) -> list[tuple[str, str]]:
        return [(test, text) for test, text in self._skipped if declared(text) is None]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        self._left_behind = self._processes_left() + [f"file {name}" for name in self._home.unexpected()]
        if self._left_behind or (os.environ.get("CI") == "true" and self._undeclared):
            session.exitstatus = exitstatus or pytest.ExitCode.TESTS_FAILED
        if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            self._home.remove()
        if self._report_file:
            self._report_file.write_text(json.dumps(self._report()))

    def _processes_left(self) -> list[str]:
        """Ends what is still there, and returns what it was."""
        deadline = time.monotonic() + self._end_within_s
        while (left := self._home.processes()) and time.monotonic() < deadline:
            time.sleep(0.2)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return [f"process {pid}: {command[:200]}" for pid, command in left.items()]

    def _report(self) -> dict[str, Any]:
        return {
            "passed": self._outcomes["passed"],
            "failed": sorted({*self._failed}),
            "skipped": self._skipped,
            "left_behind": self._left_behind,
            "slowest": self._seconds.most_common(),
        }

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        write = terminalreporter.write_line
        by_reason = Counter(reason for _, text in self._skipped if (reason := declared(text)))
        for reason, count in by_reason.items():
            write(f"skipped {count} ({reason}): they need {DECLARED[reason]}")
        for test, text in self._undeclared:
            write(f"skipped without a declared reason: {test}: {text}", red=True)
        for what in self._left_behind:
            write(f"left behind: {what}", red=True)
        if self._home.folder.exists():
            write(f"temporary files of these tests are kept in {self._home.folder}")


def register(config: pytest.Config, home: SessionHome) -> None:
    """Registers the plugin in the process that collects the results."""
    plugin = SessionPlugin(home, config.getoption("--report-file"), config.getoption("--end-within"))
    config.pluginmanager.register(plugin, "mixfleet-session")
