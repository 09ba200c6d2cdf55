from __future__ import annotations

from typing import Any

import pytest

from deployments.engine.fake.tokenizer import VOCABULARY_SIZE, decode, encode

COMPLETIONS = "/v1/completions"


async def test_text_and_its_ids_are_the_same_prompt(serve: Any) -> None:
    engine = await serve()
    by_text = await engine.post(COMPLETIONS, {"prompt": "Once upon", "return_token_ids": True})
    by_ids = await engine.post(COMPLETIONS, {"prompt": encode("Once upon"), "return_token_ids": True})
    assert by_text["object"] == "text_completion"
    assert by_text["id"].startswith("cmpl-")
    assert by_text["choices"] == by_ids["choices"]
    (choice,) = by_text["choices"]
    assert choice["prompt_token_ids"] == encode("Once upon")
    assert choice["text"] == decode(choice["token_ids"])
    assert (len(choice["token_ids"]), choice["finish_reason"]) == (16, "length")


@pytest.mark.parametrize("prompts", [["a", "bcd"], [[1, 2], [3]]])
async def test_several_prompts_are_several_choices(serve: Any, prompts: list[Any]) -> None:
    engine = await serve()
    alone = [await engine.post(COMPLETIONS, {"prompt": prompt, "max_tokens": 4}) for prompt in prompts]
    together = await engine.post(COMPLETIONS, {"prompt": prompts, "max_tokens": 4})
    assert [choice["index"] for choice in together["choices"]] == [0, 1]
    texts = [answer["choices"][0]["text"] for answer in alone]
    assert [choice["text"] for choice in together["choices"]] == texts
    assert together["usage"]["completion_tokens"] == 8
    chunks = await engine.events(COMPLETIONS, json={"prompt": prompts, "max_tokens": 4, "stream": True})
    pieces = ["", ""]
    for chunk in chunks[:-1]:
        pieces[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert pieces == texts


async def test_a_stream(serve: Any) -> None:
    engine = await serve()
    *chunks, usage, done = await engine.events(
        COMPLETIONS,
        json={
            "prompt": "Once",
            "max_tokens": 3,
            "stream": True,
            "return_token_ids": True,
            "stream_options": {"include_usage": True},
        },
    )
    assert done == "[DONE]"
    assert usage["usage"]["completion_tokens"] == 3
    choices = [chunk["choices"][0] for chunk in chunks]
    assert [choice["prompt_token_ids"] for choice in choices] == [encode("Once"), None, None]
    assert [len(choice["token_ids"]) for choice in choices] == [1, 1, 1]
    assert [choice["finish_reason"] for choice in choices] == [None, None, "length"]


async def test_a_repeated_prompt_is_counted_as_cached(serve: Any) -> None:
    engine = await serve(block_size=4)
    counted = [
        (await engine.post(COMPLETIONS, {"prompt": list(range(10))}))["usage"]["prompt_tokens_details"]
        for _ in range(2)
    ]
    assert [details["cached_tokens"] for details in counted] == [0, 8]


async def test_without_caches_nothing_is(serve: Any) -> None:
    engine = await serve(block_size=4, caches=False)
    for _ in range(2):
        answer = await engine.post(COMPLETIONS, {"prompt": list(range(10))})
        assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        (None, "prompt"),
        ("", "prompt"),
        ([], "prompt"),
        (["a", ""], "prompt"),
        ([[]], "prompt"),
        ([-1], "prompt"),
        ([VOCABULARY_SIZE], "prompt"),
        ([1, "a"], "body.prompt"),
        (["a", 1], "body.prompt"),
        ([[1, 2], 3], "body.prompt"),
        ({"text": "a"}, "body.prompt"),
        ([True], "body.prompt[0]"),
    ],
)
async def test_prompts_that_are_none(serve: Any, prompt: Any, param: str) -> None:
    engine = await serve()
    status, error = await engine.error(COMPLETIONS, json={"prompt": prompt})
    assert (status, error["param"]) == (400, param)
    assert engine.engine.batch.counters.accepted == 0
