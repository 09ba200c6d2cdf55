"""SIGINT and SIGTERM in an event loop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any


async def until_interrupted(work: Coroutine[Any, Any, None]) -> None:
    """Raises KeyboardInterrupt where SIGINT or SIGTERM ended the work, after its orderly end."""
    loop = asyncio.get_running_loop()
    running = loop.create_task(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
