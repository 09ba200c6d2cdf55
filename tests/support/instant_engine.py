"""`python -m tests.support.instant_engine PORT`: answers every request at once with two tokens, for next to no CPU.

Not the fake engine, which counts, batches and keeps time: this one is there to see what a client alone can do.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

TOKENS = (200_005, 200_002)
_EVENTS = [b'{"choices":[{"index":0,"text":"","token_ids":[%d]}]}' % token for token in TOKENS] + [b"[DONE]"]
_MODEL = b'{"data":[{"id":"m","root":"m","max_model_len":131072}]}'


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"".join(_chunk(b"data: " + event + b"\n\n") for event in _EVENTS)
    + b"0\r\n\r\n"
)
MODELS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_MODEL), _MODEL)
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Connection(asyncio.Protocol):
    """Reads requests by their Content-Length and looks at nothing but their paths."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            _, _, length = head.partition(b"content-length:")
            whole = end + 4 + (int(length.split(b"\r\n")[0]) if length else 0)
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            self._transport.write(_reply(head))


def _reply(head: bytes) -> bytes:
    if head.startswith(b"post"):
        return ANSWER
    return MODELS if b"/v1/models" in head.split(b"\r\n")[0] else NOT_FOUND


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
