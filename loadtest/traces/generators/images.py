"""Questions about pictures: each shows a few out of a stock, and all begin with the same system prompt."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from pydantic import Field, field_validator, model_validator

from loadtest.traces.generators.base import Settings
from loadtest.traces.generators.draws import Popularity, arrivals, choice, length
from loadtest.traces.trace import ImageRef, TraceRequest

PIXELS_PER_TOKEN_SIDE = 32
"""Of Qwen3-VL: patches of 16 pixels, merged two by two."""


class ImagesSettings(Settings):
    stock: int = Field(600, ge=1, description="different pictures")
    least: int = Field(1, ge=0, description="pictures of a request")
    most: int = Field(4, ge=1)
    sizes: str = Field("1280x720", description="WIDTHxHEIGHT in pixels; several as 1280x720/640x480, in turn")
    system: int = Field(100, ge=1)
    question: int = Field(1200, ge=1)
    output: int = Field(300, ge=1)
    popularity: Popularity = "uniform"
    exponent: float = Field(1.0, gt=0, le=5, description="of zipf")

    @field_validator("sizes")
    @classmethod
    def _readable(cls, sizes: str) -> str:
        _sizes(sizes)
        return sizes

    @model_validator(mode="after")
    def _enough(self) -> ImagesSettings:
        if not self.least <= self.most <= self.stock:
            raise ValueError("least <= most <= stock must hold")
        return self


class Images:
    settings = ImagesSettings

    def requests(self, settings: ImagesSettings, rng: Random) -> Iterator[TraceRequest]:
        sizes = _sizes(settings.sizes)
        stock = [_picture(number, *sizes[number % len(sizes)]) for number in range(settings.stock)]
        system = tuple(range(settings.system // settings.block))
        arrive = arrivals(settings, rng)
        next_picture = choice(rng, settings.stock, settings.popularity, settings.exponent)
        for _ in range(settings.count):
            shown = tuple(stock[next_picture()] for _ in range(rng.randint(settings.least, settings.most)))
            text = settings.system + length(rng, settings.question, settings.spread)
            yield TraceRequest(
                at_s=arrive(),
                input_tokens=text + sum(picture.tokens for picture in shown),
                output_tokens=length(rng, settings.output, settings.spread),
                blocks=system,
                block_tokens=settings.block,
                images=shown,
            )


def image_tokens(width: int, height: int) -> int:
    """What a picture of that many pixels costs Qwen3-VL."""
    return max(1, round(width / PIXELS_PER_TOKEN_SIDE)) * max(1, round(height / PIXELS_PER_TOKEN_SIDE))


def _picture(identity: int, width: int, height: int) -> ImageRef:
    return ImageRef(identity, image_tokens(width, height), width, height)


def _sizes(text: str) -> list[tuple[int, int]]:
    """Raises ValueError for a text that is not sizes of 1 to 8192 pixels a side."""
    sizes = []
    for size in text.split("/"):
        width, times, height = size.partition("x")
        if not (times and width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 1):
            raise ValueError(f"'{size}' is no size; write it as 1280x720")
        if max(int(width), int(height)) > 8192:
            raise ValueError(f"'{size}' is too large; a side has at most 8192 pixels")
        sizes.append((int(width), int(height)))
    return sizes
