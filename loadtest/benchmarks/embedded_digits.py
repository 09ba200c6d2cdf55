"""Held-out handwritten digits as a product catalogue: the official columns, the embedded model's own question."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from loadtest.benchmarks.catalogue_file import write_products
from loadtest.benchmarks.embedded import raw_data

INK = 16
"""Darkest value of an 8x8 scan."""


def digit_png(scan: np.ndarray) -> bytes:
    """A scan of 64 values (0 to 16, row by row) as a 64x64 PNG, dark on light."""
    light = (255 - scan.reshape(8, 8) / INK * 255).astype("uint8")
    buffer = io.BytesIO()
    Image.fromarray(light).resize((64, 64), Image.Resampling.BICUBIC).convert("RGB").save(buffer, format="PNG")
    return buffer.getvalue()


def write_digits(folder: Path) -> None:
    """Writes `test.parquet`, and `prompt.json` that says how its samples are asked."""
    scans = np.loadtxt(raw_data("digits") / "digits.csv.gz", delimiter=",")
    held_out = json.loads((raw_data("digits") / "held_out_idx.json").read_text(encoding="utf-8"))
    rows = [_product(number, row) for number, row in enumerate(scans[held_out])]
    write_products(folder / "test.parquet", rows)
    question = {"question": "What digit is this?", "answer": "category"}
    (folder / "prompt.json").write_text(json.dumps(question), encoding="utf-8")


def _product(number: int, row: np.ndarray) -> dict[str, Any]:
    return {
        "product_image": {"bytes": digit_png(row[:64]), "path": f"{number}.png"},
        "product_title": "Handwritten digit",
        "product_description": "",
        "potential_product_categories": [str(digit) for digit in range(10)],
        "ground_truth_category": str(int(row[64])),
        "ground_truth_brand": "",
        "ground_truth_is_secondhand": False,
    }
