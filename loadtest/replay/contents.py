"""What prompts are filled with, as traces have no text: equal ids give equal contents, different ids different ones.

They depend on a seed and an id alone, so they are the same in every process and on every machine.
"""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import shake_128

import numpy as np
import soundfile
from PIL import Image

from loadtest.benchmarks.embedded import raw_data
from loadtest.traces.trace import ImageRef, TraceRequest

SAMPLE = (
    "a able about after again air all also always and any are as at away back be because been before began being "
    "below between both boy but by call came can change city close come could country cut day did different do "
    "does done door down draw each earth east end enough even every eye face family far farm father feet few find "
    "fire first fish five follow food foot for form four from gave get girl give go gold good got great green "
    "ground group grow had half hand"
)
"""The text that tokenizers are measured with."""

WORDS = tuple(SAMPLE.split())
SHORTEST_WORD = min(map(len, WORDS))
SPEECH_RATE = 16_000
PIXELS_PER_TOKEN_SIDE = 32
GRID = 8
"""A picture is that many fields a side, each of its own colour."""

KEPT_PICTURES = 256


@dataclass(frozen=True)
class Vocabulary:
    """What a model's tokenizer makes of SAMPLE.

    Attributes:
        token_ids: those that occur in them; none where the endpoint does not tell.
        tokens_per_character: on average.
    """

    token_ids: Sequence[int] = ()
    tokens_per_character: float = 0.25

    @classmethod
    def of(cls, token_ids: Sequence[int]) -> Vocabulary:
        """From the token ids of SAMPLE."""
        return cls(tuple(sorted(set(token_ids))), max(1, len(token_ids)) / len(SAMPLE))


@dataclass(frozen=True)
class Contents:
    """Fills prompts. Not an event loop's work: a long prompt takes milliseconds, a large picture more."""

    seed: int

    def token_ids(self, request: TraceRequest, number: int, vocabulary: Vocabulary) -> list[int]:
        """Exactly as many ids as the request has tokens of text."""
        pool = np.array(vocabulary.token_ids)
        pieces = [pool[_draw(key, tokens, len(pool))] for key, tokens in self._pieces(request, number)]
        ids: list[int] = np.concatenate(pieces).tolist()
        return ids

    def text(self, request: TraceRequest, number: int, vocabulary: Vocabulary) -> tuple[str, str]:
        """Its leading blocks, and the rest of its text: together about as many tokens as it has.

        Lengths are rounded from the start of the prompt, not block by block: errors of short blocks would add up.
        """
        pieces, tokens, written = [], 0, 0
        for key, length in self._pieces(request, number):
            tokens += length
            until = round(tokens / vocabulary.tokens_per_character)
            pieces.append(_words(key, until - written))
            written = until
        split = len(request.blocks)
        return "".join(pieces[:split]), "".join(pieces[split:])

    def picture(self, image: ImageRef) -> str:
        """A PNG as a data: address, of the size that the trace names, else of one that costs about as much."""
        side = round(image.tokens**0.5) * PIXELS_PER_TOKEN_SIDE
        return _picture(f"{self.seed}/image/{image.identity}", image.width or side, image.height or side)

    def clip(self, seconds: float, number: int) -> bytes:
        """A WAV file of read English: the embedded clips over and over, from a point of its own on."""
        return _wav(seconds, int(_draw(f"{self.seed}/clip/{number}", 1, 2**31)[0]))

    def _pieces(self, request: TraceRequest, number: int) -> Iterator[tuple[str, int]]:
        """Key and tokens of each leading block, then of what only this request has."""
        left = request.text_tokens
        for block in request.blocks:
            yield f"{self.seed}/block/{block}", min(request.block_tokens, left)
            left -= request.block_tokens
        if left > 0:
            yield f"{self.seed}/request/{number}", left


def _draw(key: str, count: int, below: int) -> np.ndarray:
    """`count` integers below `below`, by the key alone."""
    return np.frombuffer(shake_128(key.encode()).digest(4 * count), "<u4") % below


def _words(key: str, characters: int) -> str:
    """So many characters of words, each after a space; the last word may be cut."""
    most = characters // (1 + SHORTEST_WORD) + 1
    return "".join(f" {WORDS[index]}" for index in _draw(key, most, len(WORDS)))[:characters]


@lru_cache(maxsize=KEPT_PICTURES)
def _picture(key: str, width: int, height: int) -> str:
    colours = _draw(key, GRID * GRID * 3, 256).astype("uint8").reshape(GRID, GRID, 3)
    buffer = io.BytesIO()
    Image.fromarray(colours).resize((width, height), Image.Resampling.NEAREST).save(buffer, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@lru_cache(maxsize=1)
def _speech() -> np.ndarray:
    """All embedded clips, as 16-bit samples."""
    files = sorted(raw_data("speech").glob("*.wav"))
    return np.concatenate([soundfile.read(file, dtype="int16")[0] for file in files])


def _wav(seconds: float, start: int) -> bytes:
    speech = _speech()
    samples = np.resize(np.roll(speech, -(start % len(speech))), max(1, round(seconds * SPEECH_RATE)))
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SPEECH_RATE)
        sound.writeframes(samples.tobytes())
    return file.getvalue()
