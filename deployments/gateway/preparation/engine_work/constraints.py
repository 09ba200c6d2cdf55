"""The constraints of a structured answer: vLLM's server makes grammars of them on its event loop, to see if it can."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from deployments.gateway.errors.error_object import ApiError
from deployments.gateway.preparation.engine_work.nodes import nodes_of
from deployments.gateway.preparation.engine_work.refusing import too_complex

MOST_BYTES = 3 * 2**15
"""Of all schemas and grammars of a body as JSON. Grammar libraries take up to 7 us for each."""

MOST_REPEATED = 128
"""How often a part of a schema's regular expression may be repeated. XGrammar 0.2.8 fails on more, which vLLM answers
with 500."""

MOST_PATTERN = 2000
"""Characters of a schema's regular expressions with all repetitions written out. Grammar libraries take a time that
grows with their square: 0.2 s for these, 20 s for `[a-z]{1,10000}`."""

MOST_RANGES = 200
"""Limits of numbers in schemas. Grammar libraries take 1.2 ms for each."""

MOST_LENGTH = 10**8
"""Of all limits of lengths in schemas together. A library takes 1.6 ns for each unit."""

FIELDS = ("response_format", "structured_outputs", "text")
RANGES = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
LENGTHS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
TAGS = ("structural_tag", "json")
"""Fields that may hold a schema as a text of JSON."""

MOST_COUNTED = 10**9
"""Characters of one repetition from which on it is no more exact."""

PATTERN_PART = re.compile(r"\\.?|\[\^?\]?(?>[^\]\\]+|\\.?)*+\]?|\{(\d*)(,?)(\d*)\}|.", re.DOTALL)
"""A character or class of a regular expression, also one that does not end, or a number of repetitions. It never goes
back."""


def check_constraints(body: Mapping[str, Any]) -> None:
    """Raises ApiError 400 where an engine's server would take too long to make grammars of a body's constraints."""
    given = {name: body[name] for name in FIELDS if isinstance(body.get(name), dict)}
    tools = body.get("tools")
    if isinstance(tools, list) and _are_constraints(tools, body.get("tool_choice")):
        given["tools"] = tools
    if not given:
        return
    if (size := len(msgspec.json.encode(given))) > MOST_BYTES:
        raise _too_large(given, f"are {size} bytes of JSON; send at most {MOST_BYTES}")
    ranges, lengths, patterns, most_repeated = 0, 0, 0, 0
    for node in _schemas(given):
        ranges += sum(name in node for name in RANGES)
        lengths += sum(max(0, node[name]) for name in LENGTHS if isinstance(node.get(name), int | float))
        for text in _patterns(node):
            size, repeated = measured(text)
            patterns += size**2
            most_repeated = max(most_repeated, repeated)
    if ranges > MOST_RANGES:
        raise _too_large(given, f"limit {ranges} numbers (`minimum` and its like); send at most {MOST_RANGES} limits")
    if lengths > MOST_LENGTH:
        raise _too_large(given, f"have limits of lengths that are more than {MOST_LENGTH} together; send lower ones")
    if most_repeated > MOST_REPEATED:
        raise ApiError(
            400,
            f"a `pattern` of a schema repeats something up to {most_repeated} times; engines fail on more than "
            f"{MOST_REPEATED}; limit a length by `maxLength`",
            code="body_too_complex",
        )
    if patterns > MOST_PATTERN**2:
        raise _too_large(
            given,
            f"have regular expressions of {int(patterns**0.5)} characters with all repetitions written out; "
            f"send at most {MOST_PATTERN}",
        )


def measured(pattern: str) -> tuple[int, int]:
    """Characters of a regular expression with all its repetitions written out, and its highest number of them."""
    sizes, last, repeated = [0], 0, 0
    for found in PATTERN_PART.finditer(pattern):
        part = found[0]
        if part == "(":
            sizes.append(0)
        elif part == ")" and len(sizes) > 1:
            last = sizes.pop()
            sizes[-1] += last
        elif len(part) > 1 and part[0] == "{":
            times = max(1, *(int(digits[:9]) for digits in (found[1], found[3]) if digits), 1)
            repeated = max(repeated, times)
            longer = min(last * times, MOST_COUNTED)
            sizes[-1] += longer - last
            last = longer
        else:
            last = 1
            sizes[-1] += last
    return sum(sizes), repeated


def _are_constraints(tools: list[Any], choice: Any) -> bool:
    """Whether an answer is made to fit the tools' schemas."""
    if choice not in (None, "auto", "none"):
        return True
    functions = [tool.get("function", tool) for tool in tools if isinstance(tool, dict)]
    return any(isinstance(function, dict) and function.get("strict") for function in functions)


def _schemas(given: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All objects, also those of schemas that are texts of JSON."""
    left: list[Any] = [given]
    while left:
        for node in nodes_of(left.pop()):
            if not isinstance(node, dict):
                continue
            yield node
            for name in TAGS:
                if isinstance(text := node.get(name), str):
                    try:
                        left.append(msgspec.json.decode(text))
                    except (msgspec.DecodeError, RecursionError):
                        continue  # an engine refuses it


def _patterns(node: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(text := node.get("pattern"), str):
        yield text
    if isinstance(properties := node.get("patternProperties"), dict):
        yield from properties


def _too_large(given: Mapping[str, Any], reason: str) -> ApiError:
    names = ", ".join(f"`{name}`" for name in given)
    return too_complex(f"the constraints of the answer ({names}) {reason}")
