from __future__ import annotations

import asyncio

from deployments.gateway.proxy.client.comments import COMMENT, StreamComments
from tests.support.virtual_time import run


def written_at(frames_at: list[float], end: float) -> list[float]:
    """When a stream with frames at these times gets comments, in virtual seconds."""
    written: list[float] = []

    def write(data: bytes) -> None:
        assert data == COMMENT
        written.append(asyncio.get_running_loop().time())

    async def stream() -> None:
        loop = asyncio.get_running_loop()
        comments = StreamComments(write, 15)
        for at in frames_at:
            await asyncio.sleep(at - loop.time())
            comments.wrote()
        await asyncio.sleep(end - loop.time())
        comments.stop()
        await asyncio.sleep(100)

    run(stream())
    return written


def test_a_silent_stream_gets_a_comment_every_fifteen_seconds_until_its_end() -> None:
    assert written_at([], 50) == [15, 30, 45]


def test_a_stream_that_moves_gets_none() -> None:
    assert written_at([float(n) for n in range(1, 100)], 105) == []


def test_comments_come_after_the_last_frame() -> None:
    assert written_at([10, 20], 60) == [35, 50]
