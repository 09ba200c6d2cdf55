from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deployments.gateway.preparation.prompts.pictures import FORMATS, QwenGrid, picture_tokens, size_of

EMBEDDED = QwenGrid(placeholder=262, cell=32, fewest=1024, most=65536)
sides = st.integers(1, 3000)


def encoded(width: int, height: int, form: str) -> bytes:
    buffer = BytesIO()
    Image.new("L" if form != "WEBP" else "RGB", (width, height)).save(buffer, form)
    return buffer.getvalue()


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from(FORMATS))
def test_headers_tell_the_size(width: int, height: int, form: str) -> None:
    assert size_of(encoded(width, height, form)) == (width, height)


def png_header(width: int, height: int) -> bytes:
    content = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = struct.pack(">I", 13) + content + struct.pack(">I", zlib.crc32(content))
    idat = b"IDAT" + b"x" * 4
    return b"\x89PNG\r\n\x1a\n" + data + struct.pack(">I", 4) + idat + struct.pack(">I", zlib.crc32(idat))


def test_pixels_are_not_decoded() -> None:
    assert size_of(png_header(9000, 9000)) == (9000, 9000)


def test_a_decompression_bomb_is_not_read() -> None:
    assert size_of(png_header(60_000, 60_000)) is None


@given(st.binary(max_size=200), st.sampled_from(FORMATS), st.integers(0, 60))
def test_hostile_bytes_have_no_size_and_raise_nothing(data: bytes, form: str, kept: int) -> None:
    size_of(data)
    size_of(encoded(8, 8, form)[:kept] + data)


def test_no_other_format_is_tried() -> None:
    assert size_of(encoded(8, 8, "TIFF")) is None


@pytest.mark.parametrize(
    ("size", "count"),
    [((64, 64), 4), ((32, 32), 1), ((5, 3), 2), ((48, 80), 4), ((640, 480), 54), ((256, 256), 64), ((31, 400), 12)],
)
def test_counts_of_the_embedded_model(size: tuple[int, int], count: int) -> None:
    assert EMBEDDED.count(*size) == count


@given(sides, sides)
def test_counts_keep_to_the_bounds(width: int, height: int) -> None:
    count = EMBEDDED.count(width, height)
    if count is None:
        assert max(width, height) > 200 * min(width, height)
    else:
        thin = max(width, height) > 60 * min(width, height)  # a row of single cells may pass the upper bound
        assert EMBEDDED.fewest <= count * EMBEDDED.cell**2
        assert thin or count * EMBEDDED.cell**2 <= EMBEDDED.most


@given(sides, sides)
def test_a_turned_picture_has_as_many_tokens(width: int, height: int) -> None:
    assert EMBEDDED.count(width, height) == EMBEDDED.count(height, width)


PROCESSOR = {"patch_size": 16, "merge_size": 2, "size": {"shortest_edge": 1024, "longest_edge": 65536}}
CONFIG = {"model_type": "qwen3_vl_moe", "image_token_id": 262}


@pytest.mark.parametrize(
    "processor", [PROCESSOR, {"patch_size": 16, "merge_size": 2, "min_pixels": 1024, "max_pixels": 65536}]
)
def test_both_forms_of_settings(processor: dict[str, Any]) -> None:
    assert picture_tokens(CONFIG, processor) == EMBEDDED


@pytest.mark.parametrize(
    ("config", "processor"),
    [({"model_type": "llava"}, PROCESSOR), ({}, {}), (CONFIG, {}), (CONFIG, {**PROCESSOR, "size": 7})],
)
def test_other_families_and_settings_have_no_rule(config: dict[str, Any], processor: dict[str, Any]) -> None:
    assert picture_tokens(config, processor) is None
