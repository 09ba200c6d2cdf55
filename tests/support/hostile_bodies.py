"""Bodies that are heavy or hostile, by name: what nobody else may notice."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.http import form, part, recording

CHAT = "/v1/chat/completions"
SPEECH = "/v1/audio/transcriptions"
BOUNDARY = b"a-boundary"
MULTIPART = {"Content-Type": "multipart/form-data; boundary=a-boundary"}
GZIP = {"Content-Encoding": "gzip"}


@dataclass(frozen=True)
class HostileBody:
    """A body, made when it is needed, and the headers that it is sent with."""

    make: Callable[[], bytes]
    headers: dict[str, str] = field(default_factory=dict)
    path: str = CHAT


def chat(content: object, **further: object) -> bytes:
    return json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": content}], "max_tokens": 1, **further}
    ).encode()


def picture(size: int) -> bytes:
    url = "data:image/png;base64," + base64.b64encode(bytes(size)).decode()
    return chat([{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "what is it?"}])


def _upload(value: bytes, *further: bytes) -> bytes:
    speech = part("file", value, filename="a.wav", content_type="audio/wav")
    return form([part("model", b"m"), *further, speech], BOUNDARY)


CHATS: dict[str, HostileBody] = {
    "20 MB picture": HostileBody(lambda: picture(20_000_000)),
    "1 MB chat": HostileBody(lambda: chat("word " * 200_000)),
    "0.4 MB of one letter": HostileBody(lambda: chat("<|" + "a" * 400_000)),
    "two million []": HostileBody(lambda: b'{"model": "m", "x": [' + b"[]," * 2_000_000 + b"0]}"),
    "half a million messages": HostileBody(
        lambda: b'{"model": "m", "messages": [' + b'{"role":"user"},' * 500_000 + b"0]}"
    ),
    "deep nesting": HostileBody(lambda: b'{"model": "m", "messages": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"),
    "a huge number": HostileBody(lambda: b'{"model": "m", "messages": ' + b"9" * 4_000_000 + b"}"),
    "a gzip bomb": HostileBody(lambda: gzip.compress(chat("a" * 100_000_000)), GZIP),
    "1 MB chat in gzip": HostileBody(lambda: gzip.compress(chat("word " * 200_000)), GZIP),
    "30,000 unknown fields": HostileBody(
        lambda: chat("x", **{f"unknown-{number}": number for number in range(30_000)})
    ),
}

UPLOADS: dict[str, HostileBody] = {
    "25 MB audio": HostileBody(lambda: _upload(recording(780)), MULTIPART, SPEECH),
    "25 MB of line ends": HostileBody(lambda: _upload(b"\r\n" * 12_500_000), MULTIPART, SPEECH),
    "25 MB of almost boundaries": HostileBody(lambda: _upload(b"\r\n--a-boundary." * 1_600_000), MULTIPART, SPEECH),
    "20,000 fields": HostileBody(
        lambda: _upload(b"RIFF", *(part(f"f{number}", b"x") for number in range(20_000))), MULTIPART, SPEECH
    ),
    "a gzip bomb": HostileBody(lambda: gzip.compress(_upload(bytes(60_000_000))), {**MULTIPART, **GZIP}, SPEECH),
}
