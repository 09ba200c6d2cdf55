"""Chats of groups that share a system prompt of some thousand tokens, as text or as the token ids that it becomes."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

WORD = re.compile(r"Ġ[a-z]{3,}")
"""A token that is a whole word after a space: a text of n such words is n tokens, give or take one."""


@dataclass(frozen=True)
class Workload:
    """What is drawn: groups with prompts of some length, and a question that is never asked twice.

    Lengths are tokens; a group's own is uniform in `prefix`.
    """

    model: str
    groups: int
    prefix: tuple[int, int]
    question: int
    output: int

    def chats(self, checkpoint: Path, shape: int, seed: int) -> Iterator[dict[str, Any]]:
        """Request bodies without end: lengths and order follow from `shape`, the words from `seed`."""
        draw, draw_shape = random.Random(seed), random.Random(shape)
        vocabulary = json.loads((checkpoint / "tokenizer.json").read_text())["model"]["vocab"]
        words = [token[1:] for token in sorted(vocabulary) if WORD.fullmatch(token)]

        def text(length: int) -> str:
            return " ".join(draw.choices(words, k=length))

        systems = [text(draw_shape.randint(*self.prefix)) for _ in range(self.groups)]
        while True:
            # Every group once before any comes again, so that no run has a lucky order.
            for system in draw_shape.sample(systems, len(systems)):
                yield {
                    "model": self.model,
                    "messages": [
                        {"role": "system", "content": system},
                        {"role": "user", "content": text(self.question)},
                    ],
                    "max_tokens": self.output,
                    "temperature": 0,
                    "ignore_eos": True,
                    "stream": True,
                    "stream_options": {"include_usage": True},
                }


async def as_token_ids(session: aiohttp.ClientSession, engine_url: str, chat: dict[str, Any]) -> dict[str, Any]:
    """The completion request of exactly the tokens that the engine makes of a chat request."""
    question = {"model": chat["model"], "messages": chat["messages"]}
    async with session.post(f"{engine_url}/tokenize", json=question, raise_for_status=True) as answer:
        tokens = (await answer.json())["tokens"]
    return {name: value for name, value in chat.items() if name != "messages"} | {"prompt": tokens}
