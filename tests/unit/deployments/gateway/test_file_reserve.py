from __future__ import annotations

import os

import pytest

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.file_reserve import FileReserve


def test_what_is_in_use_is_never_more_than_what_is_open() -> None:
    files = FileReserve()
    before = files.in_use()
    opened = [os.dup(0) for _ in range(50)]
    assert files.in_use() >= before + 50 - 1
    for file in opened:
        os.close(file)
    assert files.in_use() == before


def test_requests_are_refused_before_the_limit() -> None:
    files = FileReserve()
    FileReserve(limit=2 * files.in_use() + 10).check()
    with pytest.raises(ApiError, match="file descriptors open; try again") as raised:
        FileReserve(limit=files.in_use() + 1).check()
    assert (raised.value.status, raised.value.retry_after_s) == (503, 1)


@pytest.mark.parametrize("limit", [8, 64, 1024, 2**20])
def test_connections_are_refused_later_than_requests(limit: int) -> None:
    files = FileReserve(limit)
    assert files.has_room(limit - files.reserve)
    assert not files.has_room(limit - 1)
