from __future__ import annotations

from typing import Any

import pytest

from deployments.engine.fake.prompts import IMAGE_TOKENS
from deployments.engine.fake.tokenizer import Control, encode
from deployments.gateway.preparation.prompts.renderers import Unrendered
from deployments.gateway.preparation.prompts.renderers.fake import FakeRenderer
from deployments.gateway.request.route_bodies import PromptForm
from deployments.routing.prompt import Media

CHAT = PromptForm.MESSAGES


def test_chats_and_their_pictures() -> None:
    parts = [{"type": "text", "text": "abc"}, {"type": "image_url", "image_url": {"url": "data:"}, "uuid": "u"}]
    made = FakeRenderer().render(CHAT, {"messages": [{"role": "user", "content": parts}]}, [])
    images = [Control.IMAGE] * IMAGE_TOKENS
    assert made.prompt.token_ids == [Control.USER, *encode("abc"), *images, Control.END, Control.ASSISTANT]
    assert made.prompt.media == (Media(2, IMAGE_TOKENS, "u"),)
    assert not made.exact


def test_completions_and_responses() -> None:
    assert FakeRenderer().render(PromptForm.PROMPT, {"prompt": "abcd"}, []).prompt.token_ids == encode("abcd")
    made = FakeRenderer().render(PromptForm.INPUT, {"input": "a", "instructions": "b"}, []).prompt
    turns = [{"role": "system", "content": "b"}, {"role": "user", "content": "a"}]
    assert made == FakeRenderer().render(CHAT, {"messages": turns}, []).prompt
    with pytest.raises(Unrendered):
        FakeRenderer().render(PromptForm.INPUT, {"input": []}, [])


@pytest.mark.parametrize("messages", [None, [], [7], [{"role": "x"}], [{"role": "user", "content": [{"type": "x"}]}]])
def test_malformed_chats_raise(messages: Any) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011  # whatever it is, the caller takes it for "not rendered"
        FakeRenderer().render(CHAT, {"messages": messages}, [])
