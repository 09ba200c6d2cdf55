"""The gateway's prompts: checkpoints read by a process of its own, and the fake engine's own view of its prompts."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from deployments.gateway.preparation.prompts import Prompts
from deployments.gateway.preparation.prompts.checkpoint import CheckpointUnreadable, read
from deployments.gateway.preparation.prompts.tokens import Tokens
from tests.support import tiny_checkpoint
from tests.support.engine_keys import engine_keys
from tests.support.processes import fake_engine, fake_pool
from tests.support.prompts import prepare

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    tiny_checkpoint.tokenizer().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "chat_template.jinja").write_text(tiny_checkpoint.TEMPLATE)
    made = tiny_checkpoint.checkpoint()
    for name, content in {
        "config.json": made.config,
        "processor_config.json": {"image_processor": made.processor},
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>"},
    }.items():
        (tmp_path / name).write_text(json.dumps(content))
    return tmp_path


def test_a_checkpoint_is_read_as_transformers_builds_it(checkpoint: Path) -> None:
    made, expected = read(str(checkpoint)), tiny_checkpoint.checkpoint()
    text = "<|im_start|>naïve 日本語<|im_end|>"
    assert Tokens(made.tokenizer).encode(text) == Tokens(expected.tokenizer).encode(text)
    assert (made.template, made.config, made.processor) == (expected.template, expected.config, expected.processor)
    assert made.special_tokens["eos_token"] == "<|im_end|>"


def test_two_templates_that_differ_are_none(checkpoint: Path) -> None:
    (checkpoint / "chat_template.json").write_text(json.dumps({"chat_template": "another"}))
    assert read(str(checkpoint)).template is None


def test_a_folder_without_a_tokenizer_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointUnreadable) as refused:
        read(str(tmp_path))
    assert str(refused.value)


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    with fake_engine(fake_pool()) as url:
        yield url


@pytest.fixture
async def prompts() -> AsyncIterator[Prompts]:
    made = Prompts()
    assert await made.load("fake", "") == ""
    yield made
    made.close()


def picture(data: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(data).decode()}}


TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "naïve 日本語 " * 200}]


@pytest.mark.parametrize(
    ("route", "body", "passed"),
    [
        (CHAT, {"messages": TURNS}, True),
        (CHAT, {"messages": TURNS, "tools": [{"type": "function"}]}, True),
        (COMPLETIONS, {"prompt": "naïve 日本語"}, True),
        (COMPLETIONS, {"prompt": [1, 2, 3]}, False),
    ],
)
async def test_the_fake_engine_makes_the_same_of_ids(
    engine: str, prompts: Prompts, route: str, body: dict[str, Any], passed: bool
) -> None:
    raw = json.dumps({**body, "max_tokens": 8, "return_token_ids": True}).encode()
    prepared = prepare(prompts, route, json.loads(raw), raw, "fake", "", "")
    assert (prepared.body != raw) == passed
    plain, given = (ask(engine, route, sent) for sent in (raw, prepared.body))
    assert plain["choices"] == given["choices"]
    ids = [told.get("prompt_token_ids") or told["choices"][0]["prompt_token_ids"] for told in (plain, given)]
    assert prepared.prompt is not None
    assert ids == [list(prepared.prompt.token_ids)] * 2


def ask(engine: str, route: str, body: bytes) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", **engine_keys().headers(engine)}
    answer = requests.post(engine + route, data=body, headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    answered: dict[str, Any] = answer.json()
    return answered
