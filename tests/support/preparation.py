"""One preparer without renderers for all unit tests of the gateway: its workers take a second to start."""

from __future__ import annotations

from deployments.gateway.preparation.preparer import preparer

PREPARER = preparer(keyed=False)
"""Starts no process before its first long body. The conftest.py of those tests closes it."""
