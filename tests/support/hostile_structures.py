"""Bodies by name that may occupy an engine's server by their structure: messages, items, lists, schemas, grammars."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CHAT, COMPLETIONS, RESPONSES, TOKENIZE = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/tokenize"


@dataclass(frozen=True)
class Structure:
    """A body of `size` repetitions of something.

    Attributes:
        blocks: whether the event loop waits for another thread's work on it.
    """

    route: str
    make: Callable[[int], dict[str, Any]]
    blocks: bool = False


HI = [{"role": "user", "content": "hi"}]


def _chat(**fields: Any) -> dict[str, Any]:
    return {"messages": HI, "max_tokens": 1, **fields}


def _keys(count: int, value: Any = 1) -> dict[str, Any]:
    return {f"k{number}": value for number in range(count)}


def _format(schema: dict[str, Any]) -> dict[str, Any]:
    return _chat(response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}})


def _constrained(**constraint: Any) -> dict[str, Any]:
    return _chat(structured_outputs=constraint)


def _function(parameters: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": parameters, **fields}}


def _user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth.bit_length()):
        schema = {"anyOf": [schema, {"type": "array", "items": schema}]}
    return schema


TEXT_PART, INPUT_PART = {"type": "text", "text": "x"}, {"type": "input_text", "text": "x"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ITEM_CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
ITEM_OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "x"}
ITEM_ANSWER = {"type": "message", "id": "m", "status": "completed", "role": "assistant"}
RUN = "a" * 200

MESSAGES: dict[str, Any] = {
    "messages": _user("x"),
    "messages that are numbers": 1.5,
    "empty messages": {},
    "messages with numbers": _user(5),
    "messages with objects": _user({}),
    "messages of unknown roles": {"role": "x", "content": 5},
    "messages with tool calls": {"role": "assistant", "tool_calls": [CALL]},
    "messages with malformed tool calls": {"role": "assistant", "tool_calls": [{}]},
    "messages with parts": _user([TEXT_PART]),
    "messages with malformed parts": _user([{}]),
    "tools' answers with a number": {"role": "tool", "tool_call_id": 5, "content": "x"},
}
ITEMS: dict[str, Any] = {
    "items": _user("x"),
    "items with parts": _user([INPUT_PART]),
    "calls and answers": ITEM_CALL,
    "answers of calls": ITEM_OUTPUT,
    "reasoning": {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "x"}]},
    "empty items": {},
    "items that are numbers": 1.5,
    "items without content": {"role": "user"},
    "items of unknown types": {"type": "x"},
    "assistants' answers": {**ITEM_ANSWER, "content": [{"type": "output_text", "text": "x", "annotations": []}]},
    "assistants' answers without an id": {"role": "assistant", "content": [{"type": "output_text", "text": "x"}]},
    "malformed calls": {**ITEM_CALL, "arguments": {}},
}

STRUCTURES: dict[str, Structure] = {
    **{
        f"chat: {name}": Structure(CHAT, lambda size, each=each: _chat(messages=[each] * size))  # type: ignore[misc]
        for name, each in MESSAGES.items()
    },
    **{
        f"echoed chat: {name}": Structure(
            CHAT,
            lambda size, each=each: _chat(messages=[each] * size, echo=True),  # type: ignore[misc]
        )
        for name, each in MESSAGES.items()
    },
    **{
        f"response: {name}": Structure(RESPONSES, lambda size, each=each: {"input": [each] * size})  # type: ignore[misc]
        for name, each in ITEMS.items()
    },
    "chat: parts": Structure(CHAT, lambda size: _chat(messages=[_user([TEXT_PART] * size)])),
    "chat: joined runs": Structure(
        CHAT,
        lambda size: _chat(
            messages=[{"role": "system", "content": [{"type": "text", "text": RUN}] * size}, *HI], echo=True
        ),
    ),
    "chat: tool calls in one": Structure(
        CHAT, lambda size: _chat(messages=[{"role": "assistant", "tool_calls": [CALL] * size}], echo=True)
    ),
    "chat: nested arguments": Structure(
        CHAT,
        lambda size: _chat(
            messages=[
                {
                    "role": "assistant",
                    "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "[" * size + "]" * size}}],
                }
            ],
            echo=True,
        ),
    ),
    "chat: tools": Structure(CHAT, lambda size: _chat(tools=[_function({})] * size, tool_choice="none")),
    "chat: malformed tools": Structure(CHAT, lambda size: _chat(tools=[{}] * size, tool_choice="none")),
    "chat: tools that are numbers": Structure(CHAT, lambda size: _chat(tools=[1.5] * size, tool_choice="none")),
    "chat: a wide tool": Structure(
        CHAT, lambda size: _chat(tools=[_function({"properties": _keys(size, {})})], tool_choice="none")
    ),
    "chat: an enum": Structure(CHAT, lambda size: _chat(tools=[_function({"enum": ["x"] * size})], tool_choice="none")),
    "chat: documents": Structure(CHAT, lambda size: _chat(documents=[1.5] * size)),
    "chat: stop": Structure(CHAT, lambda size: _chat(stop=["x"] * size)),
    "chat: long stop": Structure(CHAT, lambda size: _chat(stop=["x" * size])),
    "chat: bad words": Structure(CHAT, lambda size: _chat(bad_words=[f"w{number}" for number in range(size)])),
    "chat: a long bad word": Structure(CHAT, lambda size: _chat(bad_words=["a" * size])),
    "chat: stop token ids": Structure(CHAT, lambda size: _chat(stop_token_ids=[1] * size)),
    "chat: stop token ids that are none": Structure(CHAT, lambda size: _chat(stop_token_ids=[1.5] * size)),
    "chat: allowed token ids": Structure(CHAT, lambda size: _chat(allowed_token_ids=[1] * size)),
    "chat: allowed token ids that are none": Structure(CHAT, lambda size: _chat(allowed_token_ids=[1.5] * size)),
    "chat: logit bias": Structure(CHAT, lambda size: _chat(logit_bias={str(n): 1 for n in range(size)})),
    "chat: logit bias of texts": Structure(CHAT, lambda size: _chat(logit_bias=_keys(size, "x"))),
    "chat: template arguments": Structure(CHAT, lambda size: _chat(chat_template_kwargs=_keys(size))),
    "chat: media arguments": Structure(CHAT, lambda size: _chat(media_io_kwargs=_keys(size))),
    "chat: fields of a message": Structure(CHAT, lambda size: _chat(messages=[{**_user("x"), **_keys(size)}])),
    "chat: n": Structure(CHAT, lambda size: _chat(n=size, temperature=1)),
    "chat: n and bias": Structure(
        CHAT, lambda size: _chat(n=size, temperature=1, logit_bias={str(n): 1 for n in range(200)})
    ),
    "chat: n and a schema": Structure(
        CHAT, lambda size: _chat(n=size, temperature=1, structured_outputs={"choice": ["a" * 100_000]})
    ),
    "completion: prompts": Structure(COMPLETIONS, lambda size: {"prompt": ["a"] * size, "max_tokens": 1}),
    "completion: prompts and n": Structure(
        COMPLETIONS, lambda size: {"prompt": ["a"] * 32, "n": size, "temperature": 1, "max_tokens": 1}
    ),
    "completion: token ids": Structure(COMPLETIONS, lambda size: {"prompt": [1] * size}),
    "completion: lists of token ids": Structure(COMPLETIONS, lambda size: {"prompt": [[1] * size] * 100}),
    "completion: ids and a text": Structure(COMPLETIONS, lambda size: {"prompt": [1] * size + ["x"]}),
    "completion: numbers": Structure(COMPLETIONS, lambda size: {"prompt": [1.5] * size}),
    "completion: long n": Structure(
        COMPLETIONS, lambda size: {"prompt": [1] * 900, "n": size, "temperature": 1, "max_tokens": 1}
    ),
    "tokenize: numbers": Structure(TOKENIZE, lambda size: {"prompt": [1.5] * size}),
    "tokenize: messages": Structure(TOKENIZE, lambda size: {"messages": HI * size}),
    "detokenize: ids": Structure("/detokenize", lambda size: {"tokens": [1] * size}),
    "detokenize: numbers": Structure("/detokenize", lambda size: {"tokens": [1.5] * size}),
    "response: parts": Structure(RESPONSES, lambda size: {"input": [_user([INPUT_PART] * size)]}),
    "response: malformed parts": Structure(RESPONSES, lambda size: {"input": [_user([{}] * size)]}),
    "response: malformed outputs": Structure(
        RESPONSES, lambda size: {"input": [{**ITEM_OUTPUT, "output": [{}] * size}]}
    ),
    "response: joined runs": Structure(
        RESPONSES,
        lambda size: {"input": [{"role": "system", "content": [{"type": "input_text", "text": RUN}] * size}]},
    ),
    "response: annotations": Structure(
        RESPONSES,
        lambda size: {
            "input": [{**ITEM_ANSWER, "content": [{"type": "output_text", "text": "x", "annotations": [{}] * size}]}]
        },
    ),
    "response: tools": Structure(
        RESPONSES, lambda size: {"input": "x", "tools": [{"type": "function", "name": "f", "parameters": {}}] * size}
    ),
    "response: malformed tools": Structure(RESPONSES, lambda size: {"input": "x", "tools": [{}] * size}),
    "response: a tool with a long name": Structure(
        RESPONSES, lambda size: {"input": "x", "tools": [{"type": "function", "name": "a" * size, "parameters": {}}]}
    ),
    "response: a tool with a long field": Structure(
        RESPONSES,
        lambda size: {
            "input": "x",
            "tools": [
                {"type": "function", "name": "f", "parameters": {"properties": {"a" * size: {"type": "string"}}}}
            ],
        },
    ),
    "response: include": Structure(RESPONSES, lambda size: {"input": "x", "include": ["x"] * size}),
    "response: metadata": Structure(RESPONSES, lambda size: {"input": "x", "metadata": _keys(size, "x")}),
    "response: earlier messages": Structure(
        RESPONSES, lambda size: {"input": "x", "previous_input_messages": [{}] * size}
    ),
    "schema: fields": Structure(CHAT, lambda size: _format({"properties": _keys(size, {"type": "string"})})),
    "schema: enum": Structure(CHAT, lambda size: _format({"enum": [f"v{number}" for number in range(size)]})),
    "schema: a pattern": Structure(CHAT, lambda size: _format({"type": "string", "pattern": f"^[a-z]{{1,{size}}}$"})),
    "schema: alternatives in a pattern": Structure(
        CHAT, lambda size: _format({"type": "string", "pattern": f"(a|b|c|d|e){{1,{size}}}"})
    ),
    "schema: nested repetitions": Structure(
        CHAT, lambda size: _format({"type": "string", "pattern": f"((a|b){{1,{size}}}){{1,{size}}}"})
    ),
    "schema: a long pattern": Structure(CHAT, lambda size: _format({"type": "string", "pattern": "(a|b)" * size})),
    "schema: patterns": Structure(
        CHAT, lambda size: _format({"properties": _keys(size, {"type": "string", "pattern": "(a|b)*[a-z]{1,50}"})})
    ),
    "schema: names' patterns": Structure(
        CHAT, lambda size: _format({"patternProperties": {f"^k{number}": {} for number in range(size)}})
    ),
    "schema: ranges": Structure(
        CHAT,
        lambda size: _format({"properties": _keys(size, {"type": "number", "minimum": -1234.5, "maximum": 98765.43})}),
    ),
    "schema: lengths": Structure(
        CHAT,
        lambda size: _format(
            {"patternProperties": {"^k": {}}, "properties": _keys(size, {"type": "string", "maxLength": 10_000_000})}
        ),
    ),
    "schema: doubled": Structure(CHAT, lambda size: _format(_nested(size))),
    "schema: alternatives": Structure(CHAT, lambda size: _format({"anyOf": [{"properties": {"a": {}}}] * size})),
    "schema: all of": Structure(CHAT, lambda size: _format({"allOf": [{"properties": {"a": {}}}] * size})),
    "schema: multiples": Structure(
        CHAT, lambda size: _format({"properties": _keys(size, {"type": "integer", "multipleOf": 3})})
    ),
    "schema: formats": Structure(
        CHAT, lambda size: _format({"properties": _keys(size, {"type": "string", "format": "email"})})
    ),
    "schema: a tool's": Structure(
        CHAT,
        lambda size: _chat(
            tools=[_function({"properties": {"a": {"type": "string", "pattern": f"^[a-z]{{1,{size}}}$"}}})],
            tool_choice="required",
        ),
    ),
    "schema: a strict tool's": Structure(
        CHAT,
        lambda size: _chat(
            tools=[
                _function({"properties": {"a": {"type": "string", "pattern": f"^[a-z]{{1,{size}}}$"}}}, strict=True)
            ],
            tool_choice="auto",
        ),
    ),
    "regex: alternatives": Structure(CHAT, lambda size: _constrained(regex="(a|b)" * size), blocks=True),
    "regex: any": Structure(CHAT, lambda size: _constrained(regex="." * size), blocks=True),
    "regex: words": Structure(CHAT, lambda size: _constrained(regex="\\w" * size), blocks=True),
    "regex: repeated": Structure(CHAT, lambda size: _constrained(regex=f"[a-z]{{1,{size}}}"), blocks=True),
    "regex: nested": Structure(CHAT, lambda size: _constrained(regex="(" * size + "a" + ")*" * size), blocks=True),
    "choices": Structure(CHAT, lambda size: _constrained(choice=[f"v{number}" for number in range(size)])),
    "grammar: rules": Structure(
        CHAT,
        lambda size: _constrained(
            grammar="root ::= r0\n" + "".join(f'r{n} ::= "a" r{n + 1}\n' for n in range(size)) + f'r{size} ::= "b"'
        ),
    ),
    "grammar: all rules in all": Structure(
        CHAT,
        lambda size: _constrained(
            grammar="root ::= r0\n"
            + "\n".join(f"r{n} ::= " + " | ".join(f"r{each}" for each in range(size)) for n in range(size))
        ),
    ),
    "tags": Structure(
        CHAT,
        lambda size: _constrained(
            structural_tag=json.dumps(
                {
                    "type": "structural_tag",
                    "structures": [
                        {"begin": f"<f{number}>", "schema": {"properties": {"a": {}}}, "end": "</f>"}
                        for number in range(size)
                    ],
                    "triggers": ["<f"],
                }
            )
        ),
    ),
}
