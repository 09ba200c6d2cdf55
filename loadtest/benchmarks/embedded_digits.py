"""Held-out handwritten digits as a product catalogue: the official columns, the embedded model's own question."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

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
    rows = scans[held_out]
    labels = [str(int(label)) for label in rows[:, 64]]
    count = len(rows)
    table = pa.table(
        {
            "product_image": [
                {"bytes": digit_png(row[:64]), "path": f"{number}.png"} for number, row in enumerate(rows)
            ],
            "product_title": ["Handwritten digit"] * count,
            "product_description": [""] * count,
            "potential_product_categories": [[str(digit) for digit in range(10)]] * count,
            "ground_truth_category": labels,
            "ground_truth_brand": [""] * count,
            "ground_truth_is_secondhand": [False] * count,
        }
    )
    pq.write_table(table, folder / "test.parquet")
    question = {"question": "What digit is this?", "answer": "category"}
    (folder / "prompt.json").write_text(json.dumps(question), encoding="utf-8")
