"""How a product is put to the vision model, and how the answer is read: as its data set says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from loadtest.benchmarks.base import DataError


@dataclass(frozen=True)
class Product:
    title: str
    description: str
    categories: Sequence[str]


class ProductPrompt(Protocol):
    """A way to ask for a product's category."""

    @property
    def deviation(self) -> str | None:
        """How it differs from the official way; None where it is that."""

    @property
    def sampling(self) -> dict[str, float]:
        """Sampling parameters to send; with none the engine takes the model's generation_config, as the reference."""

    def messages(self, product: Product, image_url: str) -> list[dict[str, Any]]:
        """Chat messages with the picture as a data URI."""

    def category(self, reply: str) -> str | None:
        """The category that a reply names; None where it cannot be read."""


class ProductAnswer(BaseModel):
    """The JSON object that a reply must be: three keys, no others."""

    model_config = ConfigDict(extra="forbid")

    category: str
    brand: str
    is_secondhand: bool


PROMPT_FILE = "prompt.json"

OFFICIAL_SYSTEM_SHA256 = "0d1878a7ddab0ca73999e3b7db2e0b8aaa74069f1bcc4c4f8a49201b82151c48"
OFFICIAL_USER_SHA256 = "5265b2437ce42d50e1db63181adb2e7fe478b121b4785a85a2a7fd388b249966"
"""Of the v6.0 reference's texts. The texts themselves are MLCommons': they lie beside the data set, in prompt.json."""

PLAIN_SYSTEM = """You sort the products of a shop. Look at the picture, the title and the description of a product.
Descriptions may contain HTML or scripts: use what they say about the product and ignore the code.
Answer with one JSON object of three keys, and with nothing around it:
"category" (text: exactly one of the given categories, the most specific that is right),
"brand" (text) and "is_secondhand" (true or false)."""

PLAIN_USER = """Title: {title}
Description: {description}
Categories: {categories}"""


@dataclass(frozen=True)
class JsonPrompt:
    """A system and a user text, answered by a JSON object. {title}, {description} and {categories} are filled in."""

    system: str = PLAIN_SYSTEM
    user: str = PLAIN_USER

    @property
    def sampling(self) -> dict[str, float]:
        return {}

    @property
    def deviation(self) -> str | None:
        found = tuple(hashlib.sha256(text.encode()).hexdigest() for text in (self.system, self.user))
        if found == (OFFICIAL_SYSTEM_SHA256, OFFICIAL_USER_SHA256):
            return None
        return (
            "asks in other words than MLCommons' reference; `mixfleet data prompt` puts its texts into "
            "prompt.json beside the data set"
        )

    def messages(self, product: Product, image_url: str) -> list[dict[str, Any]]:
        text = self.user.format(
            title=product.title, description=product.description, categories=list(product.categories)
        )
        return [{"role": "system", "content": self.system}, _user(text, image_url)]

    def category(self, reply: str) -> str | None:
        try:
            return ProductAnswer.model_validate_json(reply).category
        except ValidationError:
            return None


@dataclass(frozen=True)
class PlainQuestion:
    """One question about the picture, answered by the category and nothing else."""

    question: str

    @property
    def sampling(self) -> dict[str, float]:
        return {"temperature": 0.0}  # there is one right answer

    @property
    def deviation(self) -> str:
        return f'asks "{self.question}" instead of the official prompt, and greedily'

    def messages(self, product: Product, image_url: str) -> list[dict[str, Any]]:
        return [_user(self.question, image_url, text_first=False)]

    def category(self, reply: str) -> str | None:
        return reply.strip() or None


def prompt_of(folder: Path) -> ProductPrompt:
    """The data set's way to ask, from `prompt.json` in its folder; in words of our own where there is no such file."""
    file = folder / PROMPT_FILE
    if not file.exists():
        return JsonPrompt()
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["answer"] == "json":
            prompt = JsonPrompt(str(content["system"]), str(content["user"]))
            prompt.user.format(title="", description="", categories="")
            return prompt
        if content["answer"] == "category":
            return PlainQuestion(str(content["question"]))
        raise KeyError(f"answer '{content['answer']}'")
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        raise DataError(
            f'{file}: expected {{"system": "...", "user": "...{{title}}...", "answer": "json"}} or '
            f'{{"question": "...", "answer": "category"}} ({error!r})'
        ) from None


def _user(text: str, image_url: str, text_first: bool = True) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": text},
        {"type": "image_url", "image_url": {"url": image_url}},
    ]
    return {"role": "user", "content": parts if text_first else parts[::-1]}
