"""A small product catalogue: drawn pictures, nested categories."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from loadtest.benchmarks.catalogue_file import write_products

NEXT = "try it: mixfleet offline --benchmark qwen3-vl --quick --data {out}"

COLOURS = ("crimson", "gold", "navy", "seagreen")
SHAPES = {
    "Mug": ("Home & Garden", "Kitchen & Dining", "Tableware", "Drinkware", "Mugs"),
    "Ball": ("Sporting Goods", "Athletics", "Balls"),
    "Scarf": ("Apparel & Accessories", "Clothing Accessories", "Scarves & Shawls", "Scarves"),
}
"""Product -> its category, level by level."""

TEST_SHARE = 4
"""Every fourth product is in the test split."""


def write(folder: Path) -> None:
    """Two files, train and test, as the hub has them."""
    rows = [_product(number, colour, shape) for number, (colour, shape) in enumerate(_kinds())]
    (folder / "data").mkdir()
    for split, test in (("train", False), ("test", True)):
        chosen = [row for number, row in enumerate(rows) if (number % TEST_SHARE == 0) is test]
        write_products(folder / "data" / f"{split}-00000-of-00001.parquet", chosen)


def _kinds() -> Iterator[tuple[str, str]]:
    return ((colour, shape) for colour in COLOURS for shape in SHAPES)


def _product(number: int, colour: str, shape: str) -> dict[str, Any]:
    levels = SHAPES[shape]
    choices = [" > ".join(levels[:depth]) for depth in range(1, len(levels) + 1)]
    others = [" > ".join(other) for other in SHAPES.values() if other != levels]
    return {
        "product_image": {"bytes": _picture(number, colour, shape), "path": f"{number}.jpg"},
        "product_title": f"{shape}, {colour}",
        "product_description": f"<p>A {colour} {shape.lower()}.</p><script>track({number})</script>",
        "potential_product_categories": sorted(choices + others),
        "ground_truth_category": choices[-1],
        "ground_truth_brand": "Plain & Simple",
        "ground_truth_is_secondhand": number % 2 == 1,
    }


def _picture(number: int, colour: str, shape: str) -> bytes:
    """A JPEG. Sizes differ, as in the real catalogue."""
    side = 96 + 32 * (number % 3)
    picture = Image.new("RGB", (side, side + 32), "white")
    drawing = ImageDraw.Draw(picture)
    box = (side // 4, side // 4, 3 * side // 4, 3 * side // 4)
    drawing.ellipse(box, fill=colour) if shape == "Ball" else drawing.rectangle(box, fill=colour)
    content = io.BytesIO()
    picture.save(content, format="JPEG")
    return content.getvalue()
