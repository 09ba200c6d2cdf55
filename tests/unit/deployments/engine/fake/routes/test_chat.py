from __future__ import annotations

from typing import Any

import pytest

from deployments.engine.fake.prompts import IMAGE_TOKENS
from deployments.engine.fake.tokenizer import decode

CHAT = "/v1/chat/completions"
HELLO = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]}


async def test_a_whole_answer(serve: Any) -> None:
    engine = await serve(tokens_per_answer=5)
    answer = await engine.post(CHAT, {**HELLO, "model": "alias", "return_token_ids": True})
    assert answer["object"] == "chat.completion"
    assert answer["id"].startswith("chatcmpl-")
    assert answer["model"] == "fake"
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == decode(choice["token_ids"])
    assert answer["usage"] == {
        "prompt_tokens": len(answer["prompt_token_ids"]),
        "completion_tokens": 5,
        "total_tokens": len(answer["prompt_token_ids"]) + 5,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


async def test_a_stream_gives_the_same_answer_in_pieces(serve: Any) -> None:
    engine = await serve()
    asked = {**HELLO, "max_tokens": 7, "return_token_ids": True}
    whole = await engine.post(CHAT, asked)
    *chunks, usage, done = await engine.events(
        CHAT, json={**asked, "stream": True, "stream_options": {"include_usage": True}}
    )
    assert done == "[DONE]"
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 7
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    role, *tokens = chunks
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert role["prompt_token_ids"] == whole["prompt_token_ids"]
    choices = [chunk["choices"][0] for chunk in tokens]
    assert "".join(choice["delta"]["content"] for choice in choices) == whole["choices"][0]["message"]["content"]
    assert [token for choice in choices for token in choice["token_ids"]] == whole["choices"][0]["token_ids"]
    assert [choice["finish_reason"] for choice in choices] == [None] * 6 + ["length"]
    assert not any("usage" in chunk for chunk in chunks)


async def test_ids_and_usage_only_where_they_are_asked_for(serve: Any) -> None:
    engine = await serve()
    *chunks, done = await engine.events(CHAT, json={**HELLO, "stream": True, "max_tokens": 2})
    assert done == "[DONE]"
    assert chunks[0]["prompt_token_ids"] is None
    assert [chunk["choices"][0]["token_ids"] for chunk in chunks[1:]] == [None, None]
    counted = await engine.events(
        CHAT,
        json={
            **HELLO,
            "stream": True,
            "max_tokens": 2,
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        },
    )
    assert [chunk["usage"]["completion_tokens"] for chunk in counted[:-1]] == [0, 1, 2, 2]


async def test_the_next_turn_of_a_conversation_meets_its_own_blocks(serve: Any) -> None:
    engine = await serve(block_size=4)
    first = await engine.post(CHAT, HELLO)
    turns = [
        *HELLO["messages"],
        {"role": "assistant", "content": first["choices"][0]["message"]["content"]},
        {"role": "user", "content": [{"type": "text", "text": "And now?"}]},
    ]
    second = await engine.post(CHAT, {"messages": turns})
    cached = second["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert first["usage"]["total_tokens"] - 4 <= cached < first["usage"]["total_tokens"]


async def test_tenants_with_other_salts_share_nothing(serve: Any) -> None:
    engine = await serve(block_size=4)
    cached = [
        (await engine.post(CHAT, {**HELLO, "cache_salt": salt}))["usage"]["prompt_tokens_details"]["cached_tokens"]
        for salt in ("one", "other", "one")
    ]
    assert cached[:2] == [0, 0] < cached[2:]


async def test_an_answer_that_broke_continues_by_its_ids_to_the_same_end(serve: Any) -> None:
    one, other = await serve(tokens_per_answer=9), await serve(tokens_per_answer=9)
    whole = await one.post(CHAT, {**HELLO, "return_token_ids": True})
    tokens = whole["choices"][0]["token_ids"]
    prompt = whole["prompt_token_ids"] + tokens[:4]
    rest = await other.post("/v1/completions", {"prompt": prompt, "max_tokens": 100, "return_token_ids": True})
    assert tokens[:4] + rest["choices"][0]["token_ids"] == tokens
    assert rest["choices"][0]["finish_reason"] == "stop"


async def test_pictures_count_a_fixed_number_of_tokens_and_are_told_apart(serve: Any) -> None:
    engine = await serve(task="vision-chat", block_size=16)

    async def usage(url: str, **part: str) -> Any:
        picture = {"type": "image_url", "image_url": {"url": url}, **part}
        content = [{"type": "text", "text": "What is this?"}, picture]
        answer = await engine.post(CHAT, {"messages": [{"role": "user", "content": content}], "max_tokens": 1})
        return answer["usage"]["prompt_tokens"], answer["usage"]["prompt_tokens_details"]["cached_tokens"]

    first = await usage("data:image/png;base64,AAAA")
    assert first[0] > IMAGE_TOKENS
    assert first[1] == 0
    assert (await usage("data:image/png;base64,BBBB"))[1] == 0
    assert (await usage("data:image/png;base64,AAAA"))[1] > 0
    assert (await usage("data:image/png;base64,CCCC", uuid="x"))[1] == 0
    assert (await usage("data:image/png;base64,DDDD", uuid="x"))[1] > 0, "the engine trusts the uuid, as vLLM does"


@pytest.mark.parametrize(
    ("changes", "status", "param", "message"),
    [
        ({"model": "nobody"}, 404, "model", "The model `nobody` does not exist. Valid aliases: fake, alias."),
        ({"max_tokens": -1}, 400, "max_tokens", "max_tokens must be at least 1, got -1."),
        ({"max_completion_tokens": 0}, 400, "max_completion_tokens", "must be at least 1"),
        ({"max_tokens": "many"}, 400, "body.max_tokens", "Expected `int | null`, got `str`"),
        ({"messages": []}, 400, "messages", "send at least one message"),
        ({"messages": "hello"}, 400, "body.messages", "Expected `array`"),
        ({"messages": [{"role": "king", "content": ""}]}, 400, "body.messages[0].role", "king"),
        ({"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, 400, "messages", "smell"),
        ({"n": 2}, 400, "n", "n must be 1"),
        ({"messages": [{"role": "user", "content": "x" * 400}]}, 400, "input_tokens", "maximum context length is 128"),
    ],
)
async def test_bad_requests(serve: Any, changes: dict[str, Any], status: int, param: str, message: str) -> None:
    engine = await serve(max_model_len=128)
    code, error = await engine.error(CHAT, json={**HELLO, **changes})
    assert (code, error["param"]) == (status, param)
    assert message in error["message"]
    assert engine.engine.batch.counters.accepted == 0


async def test_a_picture_for_a_text_model(serve: Any) -> None:
    engine = await serve()
    content = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    status, error = await engine.error(CHAT, json={"messages": [{"role": "user", "content": content}]})
    assert status == 400
    assert "At most 0 image(s)" in error["message"]


async def test_an_answer_ends_where_the_context_ends(serve: Any) -> None:
    engine = await serve(max_model_len=32, tokens_per_answer=1000)
    answer = await engine.post(CHAT, HELLO)
    assert answer["usage"]["total_tokens"] == 32
    assert answer["choices"][0]["finish_reason"] == "length"
