"""The length of an audio file by its header, read with libsndfile: in a worker, because hostile files crash it."""

from __future__ import annotations

import io
import mmap
import os

import soundfile


class Window(io.RawIOBase):
    """A part of a mapped file, as a file of its own that is read without being copied."""

    def __init__(self, mapped: mmap.mmap, start: int, end: int) -> None:
        super().__init__()
        self._mapped, self._start, self._end = mapped, start, end
        self._position = start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # libsndfile's buffers are writable
        piece = self._mapped[self._position : min(self._end, self._position + len(buffer))]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        self._position = min(max(self._start, base + offset), self._end)
        return self._position - self._start

    def tell(self) -> int:
        return self._position - self._start


def length_s(window: Window) -> float | None:
    """Seconds that the header claims. None where libsndfile does not know the format: the engine may."""
    try:
        with soundfile.SoundFile(window) as sound:
            return float(sound.frames / sound.samplerate) if sound.samplerate and sound.frames > 0 else None
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError):
        return None
