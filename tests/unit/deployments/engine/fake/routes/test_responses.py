from __future__ import annotations

from typing import Any

RESPONSES = "/v1/responses"


async def test_a_whole_response(serve: Any) -> None:
    engine = await serve(tokens_per_answer=4)
    answer = await engine.post(RESPONSES, {"input": "Hello", "instructions": "Be brief."})
    assert (answer["object"], answer["status"]) == ("response", "completed")
    (item,) = answer["output"]
    assert item["content"][0]["text"]
    assert answer["usage"]["output_tokens"] == 4
    assert answer["usage"]["total_tokens"] == answer["usage"]["input_tokens"] + 4


async def test_text_and_messages_are_the_same_input(serve: Any) -> None:
    engine = await serve()
    turns = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}]
    by_text, by_turns = [await engine.post(RESPONSES, {"input": asked}) for asked in ("Hello", turns)]
    assert by_text["output"][0]["content"] == by_turns["output"][0]["content"]


async def test_a_stream_is_numbered_and_ends_with_the_whole(serve: Any) -> None:
    engine = await serve()
    events = await engine.events(RESPONSES, json={"input": "Hello", "max_output_tokens": 3, "stream": True})
    assert [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    final = events[-1]["response"]
    assert final["incomplete_details"] == {"reason": "max_output_tokens"}
    text = "".join(event["delta"] for event in events if event["type"].endswith("delta"))
    assert text == final["output"][0]["content"][0]["text"]


async def test_bad_input(serve: Any) -> None:
    engine = await serve()
    for body in ({}, {"input": 3}, {"input": [{"role": "nobody", "content": "x"}]}, {"input": "x", "model": 1}):
        status, _ = await engine.error(RESPONSES, json=body)
        assert status == 400
