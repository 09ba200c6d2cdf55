from __future__ import annotations

from typing import Any

from deployments.engine.fake.tokenizer import Control, encode


async def test_text_goes_there_and_back(serve: Any) -> None:
    engine = await serve()
    text = "Grüße, 世界! And plain text."
    told = await engine.post("/tokenize", {"prompt": text, "return_token_strs": True})
    assert told["count"] == len(told["tokens"])
    assert "".join(told["token_strs"]) == text
    assert told["max_model_len"] == 131_072
    assert await engine.post("/detokenize", {"tokens": told["tokens"]}) == {"prompt": text}


async def test_messages_are_rendered_as_a_chat_is(serve: Any) -> None:
    engine = await serve()
    messages = [{"role": "user", "content": "Hello"}]
    told = await engine.post("/tokenize", {"messages": messages})
    assert told["tokens"] == [Control.USER, *encode("Hello"), Control.END, Control.ASSISTANT]
    answer = await engine.post("/v1/chat/completions", {"messages": messages, "return_token_ids": True})
    assert answer["prompt_token_ids"] == told["tokens"]


async def test_bad_requests(serve: Any) -> None:
    engine = await serve()
    assert (await engine.error("/tokenize", json={}))[0] == 400
    assert (await engine.error("/tokenize", json={"prompt": "x", "model": "nobody"}))[0] == 404
    status, error = await engine.error("/detokenize", json={"tokens": [-1]})
    assert (status, error["param"]) == (400, "tokens")
