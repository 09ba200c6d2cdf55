"""A multipart upload of one recording, read without keeping it: its length in seconds, a digest, the form's fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

from aiohttp import BodyPartReader, web

from deployments.engine.fake.errors import EngineError, bad_body

HEADER_BYTES = 64 * 1024
"""How far into a file the WAV header is looked for."""
BYTES_PER_SECOND = 32_000
"""Taken for a file without a WAV header: 16 kHz of 16-bit samples."""
MOST_FILE_BYTES = 25 * 2**20
MOST_FIELD_BYTES = 64 * 1024


@dataclass
class AudioUpload:
    """What the engine needs of an upload."""

    seconds: float = 0.0
    digest: bytes = b""
    fields: dict[str, str] = field(default_factory=dict)


async def read_upload(request: web.Request) -> AudioUpload:
    """Raises EngineError where the body is not multipart, or its file is missing, empty, or too large."""
    if request.content_type != "multipart/form-data":
        raise bad_body("1 validation error: Field required: send the recording as multipart/form-data", "body.file")
    upload = AudioUpload()
    try:
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            if part.name == "file":
                await _read_file(part, upload)
            elif part.name:
                upload.fields[part.name] = (await _read_field(part)).decode(errors="replace")
    except (ValueError, AssertionError) as error:
        raise bad_body(f"the multipart body cannot be read: {error}", "body") from error
    if not upload.digest:
        raise bad_body("1 validation error: Field required: 'file' is missing", "body.file")
    return upload


def wav_seconds(header: bytes, file_bytes: int) -> float | None:
    """Length of a RIFF/WAVE file of `file_bytes` bytes that begins with `header`; None where it is none."""
    if header[:4] != b"RIFF" or header[8:12] != b"WAVE":
        return None
    position, bytes_per_second = 12, 0
    while position + 8 <= len(header):
        name, size = header[position : position + 4], int.from_bytes(header[position + 4 : position + 8], "little")
        position += 8
        if name == b"fmt ":
            bytes_per_second = int.from_bytes(header[position + 8 : position + 12], "little")
        if name == b"data" and bytes_per_second:
            return max(0, min(size, file_bytes - position)) / bytes_per_second
        position += size + size % 2
    return None


async def _read_file(part: BodyPartReader, upload: AudioUpload) -> None:
    if part.filename is None:
        raise EngineError(
            "Expected 'file' to be a file-like object, not 'str'.", 422, "Unprocessable Entity", "body.file"
        )
    header, digest, file_bytes = bytearray(), blake2b(digest_size=8), 0
    while chunk := await part.read_chunk(64 * 1024):
        file_bytes += len(chunk)
        if file_bytes > MOST_FILE_BYTES:
            raise EngineError("Maximum file size exceeded", param="audio_filesize_mb")
        digest.update(chunk)
        header += chunk[: HEADER_BYTES - len(header)]
    if not file_bytes:
        raise EngineError("Invalid or unsupported audio file.")
    seconds = wav_seconds(bytes(header), file_bytes)
    upload.seconds = file_bytes / BYTES_PER_SECOND if seconds is None else seconds
    upload.digest = digest.digest()


async def _read_field(part: BodyPartReader) -> bytes:
    value = bytearray()
    while chunk := await part.read_chunk():
        value += chunk
        if len(value) > MOST_FIELD_BYTES:
            raise bad_body(f"form field '{part.name}' is longer than {MOST_FIELD_BYTES} bytes", f"body.{part.name}")
    return bytes(value)
