from __future__ import annotations

import pytest
from aiohttp.http_exceptions import LineTooLong

from deployments.gateway.http_log import logger


def test_malformed_http_is_logged_without_what_it_was(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise LineTooLong(b"Bearer secret", "8190")
    except LineTooLong as error:
        logger.error("Error handling request from %s", "10.0.0.1", exc_info=error)
    assert "Error handling request from 10.0.0.1: malformed HTTP (LineTooLong)" in caplog.text
    assert "secret" not in caplog.text


def test_other_errors_keep_their_traces(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise KeyError("lost")
    except KeyError:
        logger.exception("it broke")
    assert "Traceback" in caplog.text
    assert "KeyError: 'lost'" in caplog.text
