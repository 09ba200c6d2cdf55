"""How many placeholder tokens a picture has in a prompt, told by the width and height of its header alone."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol

from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
HEADERS_IN_PYTHON = (
    *FORMATS,
    "TIFF",
    "PPM",
    "ICO",
    "CUR",
    "DIB",
    "TGA",
    "PCX",
    "SGI",
    "PSD",
    "QOI",
    "XBM",
    "XPM",
    "DDS",
)
"""Further formats that engines take, whose headers no library in C reads."""

STEEPEST = 200
"""Qwen's processors refuse a picture whose one side is more than this many times the other."""


def size_of(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels from a picture's header; None where there is none of a known format.

    Pixels are not decoded. A picture above Pillow's limit against decompression bombs counts as unreadable, as it does
    in the engine.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data), formats=FORMATS) as picture:
                width, height = picture.size
    except Exception:  # a parser's error on hostile bytes may be of any kind
        return None
    return (width, height) if width > 0 and height > 0 else None


def why_refused(data: bytes) -> str:
    """Why engines answer a picture with 500 instead of 400; '' where they do not. Pixels are not decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            Image.open(BytesIO(data), formats=HEADERS_IN_PYTHON).close()
    except Image.DecompressionBombError:
        return f"it has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels; send a smaller one"
    except (OSError, ValueError, TypeError, OverflowError):
        return ""  # these they answer with 400
    except Exception as error:
        return f"it is malformed ({type(error).__name__}); send a whole PNG, JPEG or WebP"
    return ""


class PictureTokens(Protocol):
    """A model family's rule."""

    @property
    def placeholder(self) -> int:
        """The token id that the chat template writes once for a picture."""

    def count(self, width: int, height: int) -> int | None:
        """Placeholder tokens of a picture of this size; None where the engine refuses it."""


@dataclass(frozen=True)
class QwenGrid:
    """Qwen2-VL to Qwen3-VL: the picture is resized to a grid of cells, one token each.

    Attributes:
        cell: side of a cell in pixels: `patch_size` x `merge_size`.
        fewest, most: bounds of the resized picture's area in pixels.
    """

    placeholder: int
    cell: int
    fewest: int
    most: int

    @classmethod
    def of(cls, config: Mapping[str, Any], processor: Mapping[str, Any]) -> QwenGrid:
        """Raises KeyError or TypeError where a checkpoint's settings are not of the known form."""
        size = processor.get("size")
        size = size if isinstance(size, Mapping) else {}
        fewest = size.get("shortest_edge") or processor["min_pixels"]
        most = size.get("longest_edge") or processor["max_pixels"]
        cell = int(processor["patch_size"]) * int(processor["merge_size"])
        return cls(int(config["image_token_id"]), cell, int(fewest), int(most))

    def count(self, width: int, height: int) -> int | None:
        if max(width, height) > STEEPEST * min(width, height):
            return None
        rows, columns = round(height / self.cell), round(width / self.cell)
        area = rows * columns * self.cell**2
        if area > self.most:
            shrink = math.sqrt(height * width / self.most)
            rows = max(1, math.floor(height / shrink / self.cell))
            columns = max(1, math.floor(width / shrink / self.cell))
        elif area < self.fewest:
            grow = math.sqrt(self.fewest / (height * width))
            rows, columns = math.ceil(height * grow / self.cell), math.ceil(width * grow / self.cell)
        return rows * columns


FAMILIES: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], PictureTokens]] = {
    "qwen2_vl": QwenGrid.of,
    "qwen2_5_vl": QwenGrid.of,
    "qwen3_vl": QwenGrid.of,
    "qwen3_vl_moe": QwenGrid.of,
}
"""`model_type` of a checkpoint -> how its rule is made of config.json and its image processor's settings."""


def picture_tokens(config: Mapping[str, Any], processor: Mapping[str, Any]) -> PictureTokens | None:
    """The rule of a checkpoint; None where its family's is not known or its settings are not of the known form."""
    make = FAMILIES.get(str(config.get("model_type")))
    try:
        return make(config, processor) if make else None
    except (KeyError, TypeError, ValueError):
        return None
