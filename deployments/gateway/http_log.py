"""The log of aiohttp's server, without what clients sent: a request that is no HTTP may hold a key."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError

logger = logging.getLogger("deployments.gateway.http")


def without_content(record: logging.LogRecord) -> bool:
    """A filter that lets every record through, one on malformed HTTP with no more than the kind of error.

    aiohttp would show the header that it could not read.
    """
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.exc_info = f"{record.msg}: malformed HTTP ({type(error).__name__})", None
    return True


logger.addFilter(without_content)
