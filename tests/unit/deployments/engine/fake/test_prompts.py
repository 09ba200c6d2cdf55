from __future__ import annotations

from typing import Any

import pytest
from msgspec import convert

from deployments.engine.fake.errors import EngineError
from deployments.engine.fake.prompts import (
    IMAGE_TOKENS,
    Prompt,
    audio_prompt,
    chat_prompt,
    completion_prompts,
    given_ids,
)
from deployments.engine.fake.requests import Message
from deployments.engine.fake.tokenizer import Control, encode


def test_turns_are_marked_and_the_assistants_is_opened() -> None:
    messages = [Message("developer", "Be brief."), Message("assistant", None, [{"id": "call"}]), Message("tool", "3")]
    assert chat_prompt(messages, takes_images=False).token_ids == [
        *(Control.SYSTEM, *encode("Be brief."), Control.END),
        *(Control.ASSISTANT, *encode('[{"id":"call"}]'), Control.END),
        *(Control.TOOL, *encode("3"), Control.END),
        Control.ASSISTANT,
    ]


@pytest.mark.parametrize(
    ("position", "block_size", "blocks"),
    [(0, 256, {0}), (1, 256, {0, 1}), (255, 256, {0, 1}), (256, 256, {1}), (100, 1024, {0}), (130, 128, {1, 2, 3})],
)
def test_a_picture_marks_every_block_that_it_lies_in(position: int, block_size: int, blocks: set[int]) -> None:
    assert IMAGE_TOKENS == 256
    prompt = Prompt([0] * 600, [(position, "cat")])
    assert prompt.extra_keys(block_size, None) == dict.fromkeys(blocks, "image:cat;")


def test_salt_and_several_pictures_add_up_in_a_block() -> None:
    prompt = Prompt([0] * 600, [(0, "cat"), (256, "dog")])
    assert prompt.extra_keys(1024, "tenant") == {0: "salt:tenant;image:cat;image:dog;"}
    assert Prompt([1]).extra_keys(16, None) == {}


def test_a_picture_needs_an_identity() -> None:
    messages = [Message("user", [{"type": "image_url", "image_url": None}])]
    with pytest.raises(EngineError, match="needs a url or a uuid"):
        chat_prompt(messages, takes_images=True)


def test_completion_prompts_of_each_form() -> None:
    assert [prompt.token_ids for prompt in completion_prompts("abc")] == [encode("abc")]
    assert [prompt.token_ids for prompt in completion_prompts([1, 2])] == [[1, 2]]
    assert [prompt.token_ids for prompt in completion_prompts(["a", "b"])] == [encode("a"), encode("b")]
    assert [prompt.token_ids for prompt in completion_prompts([[1], [2, 3]])] == [[1], [2, 3]]


def test_recordings_of_other_content_are_other_prompts() -> None:
    assert audio_prompt(b"\1\2", "hint") == [*encode("hint"), Control.AUDIO, 1, 2, Control.ASSISTANT]


def test_given_ids_take_the_place_of_messages() -> None:
    messages = convert([{"role": "user", "content": [{"type": "text", "text": "a"}]}], list[Message])
    given = given_ids({"prompt_token_ids": [1, 2]}, messages)
    assert given is not None
    assert given.token_ids == [1, 2]
    assert given_ids(None, messages) is None
    assert given_ids({"x": 1}, messages) is None
    pictured = convert([{"role": "user", "content": [{"type": "image_url", "image_url": "data:"}]}], list[Message])
    assert given_ids({"prompt_token_ids": [1, 2]}, pictured) is None


@pytest.mark.parametrize("ids", [[], "x", [-1], [2**31], ["a"], [True]])
def test_given_ids_that_are_none(ids: Any) -> None:
    with pytest.raises(EngineError):
        given_ids({"prompt_token_ids": ids}, [])
