"""A server of fixed JSON objects, for what reads an endpoint's own word of itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Pages = dict[str, Any]
"""Path -> the JSON object there, bytes for something else, or the number of an error."""

Serve = Callable[[Pages], str]


@contextmanager
def serving_pages(asked: list[tuple[str, str | None, bytes]] | None = None) -> Iterator[Serve]:
    """Starts servers and stops them at the end. Every path without a page answers 404.

    `asked` gets path, `Authorization` header and body of each request.
    """
    servers: list[ThreadingHTTPServer] = []

    def start(pages: Pages) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if asked is not None:
                    asked.append((self.path, self.headers.get("Authorization"), body))
                page = pages.get(self.path, 404)
                self.send_response(page if isinstance(page, int) else 200)
                self.end_headers()
                self.wfile.write(page if isinstance(page, bytes) else json.dumps(page).encode())

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    try:
        yield start
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
