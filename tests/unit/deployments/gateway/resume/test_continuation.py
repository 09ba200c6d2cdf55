from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from cluster.fleet import Model, Pool, Task
from deployments.gateway.proxy.usage import FRAME_END
from deployments.gateway.request.route_bodies import PromptForm
from deployments.gateway.resume import Continuation, Follower, NotExact

HEAD = {"id": "first", "created": 1, "model": "m"}


def model(**fields: Any) -> Model:
    return Model(
        name="m",
        task=Task.CHAT,
        checkpoint="virtual",
        pools=[Pool(name="a", vendor="cpu", engine="fake")],
        **fields,
    )


def frame(payload: Any) -> bytes:
    return b"data: " + msgspec.json.encode(payload) + FRAME_END


def followed(body: dict[str, Any], ids: list[int], form: PromptForm = PromptForm.PROMPT) -> Follower:
    """A stream of which the client has seen `ids`, one a frame."""
    follower = Follower(form, {"model": "m", **body}, model(), include_usage=False)
    follower.emitted.take(frame({**HEAD, "choices": [], "prompt_token_ids": [1, 2, 3]}))
    for token in ids:
        follower.emitted.take(frame({**HEAD, "choices": [{"text": "x", "finish_reason": None, "token_ids": [token]}]}))
    return follower


def asked(continuation: Continuation, halves: Sequence[int] = ()) -> dict[str, Any]:
    """The body, where the ids in `halves` are the first half of a character."""

    async def detokenize(ids: Sequence[int]) -> str:
        return "x\ufffd" if ids[-1] in halves else "x"

    return dict(json.loads(asyncio.run(continuation.body(detokenize))))


def continued(follower: Follower, room: int | None = 100) -> Continuation:
    return asyncio.run(follower.continuation("fake", room))


def test_what_was_said_is_prompt_and_counts_against_the_limits() -> None:
    body = asked(continued(followed({"max_tokens": 10, "min_tokens": 3, "top_p": 0.5, "user": "u"}, [7, 8])))
    assert body == {
        **{"model": "m", "prompt": [1, 2, 3, 7, 8], "stream": True, "return_token_ids": True},
        **{"max_tokens": 8, "min_tokens": 1, "top_p": 0.5},
    }


@pytest.mark.parametrize(
    ("route", "fields", "left"),
    [
        (PromptForm.PROMPT, {}, 14),
        (PromptForm.MESSAGES, {"max_tokens": 10}, 8),
        (PromptForm.MESSAGES, {"max_tokens": 10, "max_completion_tokens": 5}, 3),
        (PromptForm.MESSAGES, {}, 95),
    ],
)
def test_an_answer_without_a_limit_has_its_routes_own(route: str, fields: dict[str, Any], left: int) -> None:
    assert asked(continued(followed(fields, [7, 8], route)))["max_tokens"] == left


def test_a_chat_whose_limit_is_unknown_is_not_continued() -> None:
    with pytest.raises(NotExact, match="how long"):
        asked(continued(followed({}, [7], PromptForm.MESSAGES), room=None))


def test_half_a_character_is_taken_back_and_said_again() -> None:
    follower = followed({"max_tokens": 10}, [7, 8, 9])
    body = asked(continued(follower), halves=(8, 9))
    assert (body["prompt"], body["max_tokens"]) == ([1, 2, 3, 7], 9)
    assert follower.emitted.ids() == [7]


def test_half_a_character_whose_ids_the_client_has_cannot_be_taken_back() -> None:
    with pytest.raises(NotExact, match="within a character"):
        asked(continued(followed({"return_token_ids": True}, [7, 8])), halves=(8,))


def test_spliced_frames_carry_the_streams_own_names_and_whole_usage() -> None:
    continuation = continued(followed({"stream_options": {"include_usage": True}}, [7, 8]))
    details = {"prompt_tokens_details": {"cached_tokens": 5}}
    told = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9, **details}
    choice = {"index": 0, "text": "y", "finish_reason": None, "prompt_token_ids": [1, 2, 3, 7, 8], "token_ids": [9]}
    theirs = {"id": "second", "object": "text_completion", "created": 2, "model": "n"}
    spliced = continuation.splice(
        frame({**theirs, "choices": [choice]}) + frame({**theirs, "choices": [], "usage": told}) + b"data: [DONE]\n\n"
    )
    text, usage, done, rest = spliced.split(FRAME_END)
    assert json.loads(text[6:]) == {
        **HEAD,
        "object": "text_completion",
        "choices": [{**choice, "prompt_token_ids": None}],
    }
    assert json.loads(usage[6:])["usage"] == {
        **{"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9},
        "prompt_tokens_details": {"cached_tokens": 3},
    }
    assert (done, rest) == (b"data: [DONE]", b"")


def test_a_chat_goes_on_as_a_chat() -> None:
    continuation = continued(followed({"max_tokens": 10}, [7], PromptForm.MESSAGES))
    choice = {"index": 0, "text": "y", "finish_reason": "stop", "stop_reason": None, "token_ids": [9]}
    spliced = json.loads(continuation.splice(frame({"object": "text_completion", "choices": [choice]}))[6:])
    assert spliced["object"] == "chat.completion.chunk"
    assert spliced["choices"][0]["delta"] == {"content": "y"}
    assert "text" not in spliced["choices"][0]


def test_an_end_that_is_missing_is_made_up() -> None:
    with_usage = continued(followed({"stream_options": {"include_usage": True}}, [7, 8])).closing()
    usage, done, _ = with_usage.split(FRAME_END)
    assert json.loads(usage[6:])["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert done == b"data: [DONE]"
    assert continued(followed({}, [7])).closing() == b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("renderer", "fields", "reason"),
    [
        ("", {}, "not known"),
        ("template", {"reasoning_parser": "qwen3"}, "engine's own"),
        ("harmony", {}, "parses no reasoning"),
    ],
)
def test_answers_that_only_the_engine_can_parse_are_not_continued(
    renderer: str, fields: dict[str, Any], reason: str
) -> None:
    follower = Follower(PromptForm.MESSAGES, {"model": "m"}, model(**fields), include_usage=False)
    follower.emitted.take(frame({**HEAD, "choices": [], "prompt_token_ids": [1]}))
    with pytest.raises(NotExact, match=reason):
        asyncio.run(follower.continuation(renderer, 10))
