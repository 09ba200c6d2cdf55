"""Whisper-large-v3: transcription of LibriSpeech dev clips of up to 30 s, scored by word error rate."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loadtest.benchmarks.base import Answer, DataError, Mode, Official, Score, Served
from loadtest.benchmarks.embedded import embedded_folder
from loadtest.benchmarks.embedded_speech import write_speech
from loadtest.benchmarks.scoring.word_errors import word_error_rate
from loadtest.benchmarks.speech_manifest import Clip, find_manifest, read_clips
from loadtest.benchmarks.text_stream import TextStream

ALPHABET = " abcdefghijklmnopqrstuvwxyz'0123456789$%+-"
"""A response holds each character's position in here, as int64; others are dropped (reference_SUT.py)."""

BOUNDARY = "----mixfleet-b5b2e1e7a0e94b0f9d3f6c1d28a47c55"
MAX_TOKENS = 200
_POSITION = {character: position for position, character in enumerate(ALPHABET)}


def encode_transcript(text: str) -> bytes:
    return array("q", [_POSITION[c] for c in text.lower().strip() if c in _POSITION]).tobytes()


def decode_transcript(data: bytes) -> str:
    """Raises ValueError for bytes that are no response."""
    positions = array("q", data)
    if positions and not 0 <= min(positions) <= max(positions) < len(ALPHABET):
        raise ValueError("a response holds a position that the alphabet does not have")
    return "".join(ALPHABET[position] for position in positions)


def _in_alphabet(text: str) -> str:
    """A transcript as a response would hold it: the official script leaves other characters out of both."""
    return decode_transcript(encode_transcript(text))


@dataclass(frozen=True)
class Clips:
    """Clips of one manifest in MLCommons' `dev-all-repack.json` format."""

    clips: tuple[Clip, ...]
    description: str
    embedded: bool

    def __len__(self) -> int:
        return len(self.clips)

    def work(self, index: int) -> float:
        return self.clips[index].seconds

    def body(self, index: int, served: Served, mode: Mode, stream: bool = False) -> bytes:
        # Without streaming vLLM reports seconds of audio in `usage`; only a stream ends with the tokens it made.
        return self._body(index, served, {"stream": "true", "stream_include_usage": "true"})

    def plain_body(self, index: int, served: Served) -> bytes:
        """Asks for one answer without a count of its tokens, as most users do."""
        return self._body(index, served, {})

    def _body(self, index: int, served: Served, more: dict[str, str]) -> bytes:
        clip = self.clips[index]
        fields = {
            "model": served.name,
            "language": "en",
            "temperature": "0",
            "response_format": "json",
            "max_completion_tokens": str(MAX_TOKENS),
        }
        return multipart(fields | more, clip.file.name, clip.file.read_bytes())

    def deviations(self, served: Served, mode: Mode) -> list[str]:
        return []

    def score(self, responses: Mapping[int, bytes]) -> Score:
        errors = word_error_rate(
            (_in_alphabet(self.clips[index].transcript), decode_transcript(data)) for index, data in responses.items()
        )
        detail = {"word_error_rate_percent": 100 * errors.rate, "errors": errors.errors, "words": errors.words}
        return Score("100 - word error rate", 100 * (1 - errors.rate) if errors.words else None, "%", detail)


class Whisper:
    """The benchmark."""

    name = "whisper"
    task = "transcription"
    official = Official(
        loadgen_model="whisper",
        checkpoint="openai/whisper-large-v3",
        revision="06f233fe06e710322aca913c1bc4249a0d71fce1",
        performance_samples=1633,
        accuracy_samples=1633,
        metric="tokens/s",
        accuracy_reference=97.9329,
        accuracy_threshold=96.953571,
    )
    path = "/v1/audio/transcriptions"
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    quick_samples = 5
    quick_qps = 0.5

    def load(self, path: Path | None, mode: Mode, limit: int | None = None) -> Clips:
        embedded = path is None
        manifest = find_manifest(embedded_folder("speech", write_speech) if path is None else path)
        clips = read_clips(manifest, limit)
        return Clips(clips, "five LibriVox clips" if embedded else str(manifest), embedded)

    def answer(self, reply: bytes) -> Answer:
        stream = self.stream()
        for line in reply.split(b"\n"):
            event = line.strip().removeprefix(b"data:").strip()
            if event.startswith(b"{"):
                stream.take(event)
        return stream.answer()

    def stream(self) -> TextStream:
        return TextStream(encode_transcript)


def multipart(fields: Mapping[str, str], filename: str, content: bytes) -> bytes:
    """A multipart/form-data body with one wav file. Raises DataError in the freak case that it holds the boundary."""
    if BOUNDARY.encode() in content:
        raise DataError(f"{filename}: the file contains this client's multipart boundary; re-encode the file")
    head = "".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in fields.items()
    )
    file_head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        "Content-Type: audio/wav\r\n\r\n"
    )
    return (head + file_head).encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
