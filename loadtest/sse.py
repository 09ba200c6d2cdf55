"""Server-sent events out of the pieces in which they arrive."""

from __future__ import annotations

MOST_EVENT_BYTES = 2**22
DONE = b"[DONE]"


class EventTooLong(ValueError):
    """An event without an end."""


class Events:
    """Splits one stream into the data of its events, each of one line, as OpenAI's API sends them."""

    def __init__(self) -> None:
        self._rest = b""
        self.done = False
        """True once the stream's last event came."""

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of events that this piece ends. Raises EventTooLong."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > MOST_EVENT_BYTES:
            raise EventTooLong(f"an event of more than {MOST_EVENT_BYTES} bytes")
        found = []
        for line in lines:
            if line.startswith(b"data:"):
                data = line[5:].strip()
                if data == DONE:
                    self.done = True
                else:
                    found.append(data)
        return found

    def end(self) -> list[bytes]:
        """What a last line without a line end holds."""
        return self.feed(b"\n")
