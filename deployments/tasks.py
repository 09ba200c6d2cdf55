"""Tasks that run in the background of an event loop."""

from __future__ import annotations

import asyncio
import logging


def log_failure(logger: logging.Logger, task: asyncio.Task[None]) -> None:
    """For `Task.add_done_callback`, with the logger bound: a task that nobody awaits must not fail unseen."""
    if not task.cancelled() and (error := task.exception()):
        logger.error("%s ended: %r", task.get_name(), error)
