"""The reasons for which a test may be skipped, each with what would enable it."""

from __future__ import annotations

import re
from typing import NoReturn

import pytest

DECLARED = {
    "user-namespaces": "user namespaces: sysctl user.max_user_namespaces above 0 and "
    "kernel.apparmor_restrict_unprivileged_userns=0",
    "nested-limits": "leave for a user namespace to lower its own limits (Docker: /proc unmasked)",
    "kernel-headers": "the kernel's headers: apt-get install linux-libc-dev",
    "root": "a run as root, and not in a user namespace of one user: only so may a test become another user",
    "published-traces": "the published traces in ../shared/data/traces (docs/benchmarks.md says where they come from)",
}
"""Reason -> what would enable the tests that are skipped for it. Every other skip fails a run under CI=true."""

_MARK = re.compile(r"\[skip: ([\w-]+)\]")


def skip_reason(reason: str) -> str:
    """The text of a declared skip. Raises KeyError for a reason that is not declared."""
    return f"[skip: {reason}] needs {DECLARED[reason]}"


def skip(reason: str) -> NoReturn:
    """Skips the running test for a declared reason."""
    pytest.skip(skip_reason(reason))


def declared(text: str) -> str | None:
    """The declared reason that a skip's text names; None where it names none."""
    found = _MARK.search(text)
    return found[1] if found and found[1] in DECLARED else None
