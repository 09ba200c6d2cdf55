"""Qwen3-VL-235B-A22B: product pictures and texts, asked for the product's category, scored by hierarchical F1."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from msgspec import DecodeError, Struct
from msgspec import json as msgjson
from PIL import Image, UnidentifiedImageError

from loadtest.benchmarks.base import (
    Accuracy,
    Answer,
    BadReply,
    DataError,
    Mode,
    Official,
    Online,
    Scenario,
    Score,
    Served,
)
from loadtest.benchmarks.catalogue_file import read_products
from loadtest.benchmarks.embedded import embedded_folder
from loadtest.benchmarks.embedded_digits import write_digits
from loadtest.benchmarks.product_prompt import Product, ProductPrompt, prompt_of
from loadtest.benchmarks.scoring.category_f1 import hierarchical_f1
from loadtest.benchmarks.text_stream import TextStream

MAX_TOKENS = 150
INTERACTIVE_SAMPLES = 8000
PIXELS_PER_TOKEN = 32 * 32
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class Catalogue:
    """Products of parquet files in the format of Shopify/product-catalogue."""

    rows: pa.Table
    prompt: ProductPrompt
    description: str
    embedded: bool

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def work(self, index: int) -> float:
        """Prompt tokens, roughly: text by its length, the picture by its area."""
        row = self._row(index)
        width, height = self._picture(index, row)[1].size
        text = len(row["product_title"] or "") + len(row["product_description"] or "")
        text += sum(len(category) for category in row["potential_product_categories"] or ())
        return text / CHARACTERS_PER_TOKEN + width * height / PIXELS_PER_TOKEN

    def body(self, index: int, served: Served, mode: Mode, stream: bool = False) -> bytes:
        row = self._row(index)
        content, picture = self._picture(index, row)
        # The picture's own bytes: MLPerf forbids to resize or compress it again.
        url = f"data:image/{picture.format};base64,{base64.b64encode(content).decode()}"
        product = Product(row["product_title"], row["product_description"], row["potential_product_categories"])
        asked = {"model": served.name, "messages": self.prompt.messages(product, url), "max_tokens": MAX_TOKENS}
        streamed = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        return msgjson.encode(asked | self.prompt.sampling | streamed)

    def deviations(self, served: Served, mode: Mode) -> list[str]:
        return [note] if (note := self.prompt.deviation) else []

    def score(self, responses: Mapping[int, bytes]) -> Score:
        truths = self.rows.column("ground_truth_category")
        answers = {index: self.prompt.category(data.decode("utf-8", "replace")) for index, data in responses.items()}
        value = hierarchical_f1((answer, truths[index].as_py()) for index, answer in answers.items())
        detail = {"asked": len(answers), "unreadable": sum(answer is None for answer in answers.values())}
        return Score("category hierarchical F1", value, "", detail)

    def _row(self, index: int) -> dict[str, Any]:
        row: dict[str, Any] = self.rows.slice(index, 1).to_pylist()[0]
        return row

    def _picture(self, index: int, row: dict[str, Any]) -> tuple[bytes, Image.Image]:
        try:
            content: bytes = row["product_image"]["bytes"]
            return content, Image.open(io.BytesIO(content))
        except (TypeError, KeyError, UnidentifiedImageError) as error:
            raise DataError(f"{self.description}: product {index} holds no readable picture: {error}") from None


class Qwen3VL:
    """The benchmark."""

    name = "qwen3-vl"
    task = "vision-chat"
    official = Official(
        loadgen_model="qwen3-vl-235b-a22b",
        checkpoint="Qwen/Qwen3-VL-235B-A22B-Instruct",
        revision="710c13861be6c466e66de3f484069440b8f31389",
        performance_samples=48_289,
        accuracy_samples=48_289,
        metric="samples/s",
        accuracy_reference=0.7903037,
        accuracy_threshold=0.782397,
        online={
            Scenario.SERVER: Online("qwen3-vl-235b-a22b", e2e_s=12.0),
            Scenario.INTERACTIVE: Online(
                "qwen3-vl-235b-a22b",
                e2e_s=1.5,
                settings={"target_latency": 1500, "performance_sample_count_override": INTERACTIVE_SAMPLES},
                unofficial=("MLCommons runs Qwen3-VL Interactive with another client: LoadGen has no settings of it",),
            ),
        },
        interactive=Accuracy(INTERACTIVE_SAMPLES, reference=0.7878, threshold=0.779922),
    )
    path = "/v1/chat/completions"
    content_type = "application/json"
    quick_samples = 100
    quick_qps = 20.0

    def load(self, path: Path | None, mode: Mode, limit: int | None = None) -> Catalogue:
        source = embedded_folder("digits", write_digits) if path is None else path
        rows = read_products(source, limit)
        prompt = prompt_of(source if source.is_dir() else source.parent)
        embedded = path is None
        return Catalogue(rows, prompt, "360 held-out handwritten digits" if embedded else str(source), embedded)

    def answer(self, reply: bytes) -> Answer:
        try:
            completion = _replies.decode(reply)
        except DecodeError as error:
            raise BadReply(f"the chat completion is not of OpenAI's shape: {error}") from None
        if not completion.choices or completion.usage is None:
            raise BadReply(
                "the chat completion holds no choice or no usage; the endpoint must report usage as OpenAI's does"
            )
        text = completion.choices[0].message.content or ""
        return Answer(text.encode(), completion.usage.completion_tokens, text)

    def stream(self) -> TextStream:
        return TextStream(str.encode)


class _Message(Struct):
    content: str | None = None


class _Choice(Struct):
    message: _Message


class _Usage(Struct):
    completion_tokens: int


class _Completion(Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


_replies = msgjson.Decoder(_Completion)
