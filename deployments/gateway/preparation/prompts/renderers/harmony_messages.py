"""OpenAI's chat messages as Harmony's, in the order and with the channels that vLLM gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openai_harmony import (
    Author,
    DeveloperContent,
    Message,
    ReasoningEffort,
    Role,
    SystemContent,
    TextContent,
    ToolDescription,
)

from deployments.gateway.preparation.prompts.renderers.base import Unrendered, text_parts

LONG = 512
"""Characters from which a text is kept back from the Harmony library."""

EFFORTS = {"low": ReasoningEffort.LOW, "medium": ReasoningEffort.MEDIUM, "high": ReasoningEffort.HIGH}
ROLES = ("system", "developer", "user", "assistant", "tool")
MESSAGE_KEYS = {"role", "content", "name", "tool_calls", "tool_call_id", "reasoning", "reasoning_content", "refusal"}


class LongTexts:
    """Texts that are kept back, each behind a mark that no client can guess."""

    def __init__(self, word: str, keep: bool) -> None:
        self._word, self._keep = word, keep
        self.kept: list[str] = []

    def mark(self, text: str) -> str:
        """A mark for `text`, or `text` itself where it is short or might spell a control token."""
        if not self._keep or len(text) < LONG or "<|" in text:
            return text
        self.kept.append(text)
        return f"{self._word}x{len(self.kept) - 1}x"


def chat_messages(body: Mapping[str, Any], today: str, texts: LongTexts) -> list[Message]:
    """The whole conversation. Raises Unrendered, or any other error on a malformed body."""
    given = [_checked(message) for message in body["messages"]]
    if not given:
        raise Unrendered("no messages")
    instructions = None
    if given[0]["role"] in ("system", "developer"):
        parts = text_parts(given[0].get("content")) or []
        instructions = "".join(parts) if parts else None
        given = given[1:]
    messages = preamble(instructions, body.get("tools"), body.get("reasoning_effort"), today, texts)
    names = {c.get("id"): c["function"]["name"] for message in given for c in message.get("tool_calls") or ()}
    for message in given:
        messages += _harmony(message, names, texts)
    return messages


def preamble(instructions: Any, tools: Any, effort: Any, today: str, texts: LongTexts) -> list[Message]:
    """The system message, and the developer's where there are instructions or tools."""
    system = SystemContent.new().with_conversation_start_date(today)
    if effort is not None:
        if effort not in EFFORTS:
            raise Unrendered("a `reasoning_effort` that Harmony does not know")
        system = system.with_reasoning_effort(EFFORTS[effort])
    messages = [Message.from_role_and_content(Role.SYSTEM, system)]
    if instructions or tools:
        messages.append(_developer(instructions, tools, texts))
    return messages


def text_message(role: Role, text: str, texts: LongTexts) -> Message:
    return Message.from_role_and_content(role, texts.mark(text))


def drop_answered_reasoning(messages: list[Message]) -> list[Message]:
    """Without the reasoning before the last final answer: the model was trained not to see it again."""
    last = max(
        (i for i, m in enumerate(messages) if m.author.role == Role.ASSISTANT and m.channel == "final"), default=-1
    )
    return [m for i, m in enumerate(messages) if i >= last or m.channel != "analysis"]


def _developer(instructions: Any, tools: Any, texts: LongTexts) -> Message:
    content = DeveloperContent.new()
    if instructions:
        if not isinstance(instructions, str):
            raise Unrendered("instructions that are no text")
        content = content.with_instructions(texts.mark(instructions))
    if tools:
        content = content.with_function_tools([_tool(tool) for tool in tools])
    return Message.from_role_and_content(Role.DEVELOPER, content)


def _tool(tool: Any) -> ToolDescription:
    function = tool["function"]
    name, description, parameters = function["name"], function.get("description"), function.get("parameters")
    if tool.get("type", "function") != "function" or not isinstance(name, str):
        raise Unrendered("a tool that is no function")
    if not isinstance(description, str | None) or not isinstance(parameters, dict | None):
        raise Unrendered("a tool of an unknown form")
    return ToolDescription.new(name=name, description=description or "", parameters=parameters)


def _checked(message: Any) -> Mapping[str, Any]:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise Unrendered("a message of an unknown role")
    if not message.keys() <= MESSAGE_KEYS or message.get("refusal") is not None:
        raise Unrendered("a message of an unknown form")
    if text_parts(message.get("content")) is None:
        raise Unrendered("a content part that is no text")
    if "tool_calls" in message and not isinstance(message["tool_calls"], list):
        raise Unrendered("tool calls that are no list")
    return message


def _harmony(message: Mapping[str, Any], names: Mapping[Any, str], texts: LongTexts) -> list[Message]:
    role = message["role"]
    parts = text_parts(message.get("content")) or []
    if role == "tool":
        author = Author.new(Role.TOOL, f"functions.{names.get(message.get('tool_call_id', ''), '')}")
        answer = Message.from_author_and_content(author, texts.mark("".join(parts)))
        return [answer.with_channel("commentary").with_recipient("assistant")]
    if role == "assistant":
        return _assistant(message, parts, texts)
    if role in ("system", "developer"):
        content = DeveloperContent.new().with_instructions(texts.mark("".join(parts)))
        return [Message.from_role_and_content(Role.DEVELOPER, content)] if parts else []
    return [Message.from_role_and_contents(Role.USER, _contents(parts, texts))]


def _assistant(message: Mapping[str, Any], parts: list[str], texts: LongTexts) -> list[Message]:
    reasoning = message.get("reasoning")
    if reasoning is None:
        reasoning = message.get("reasoning_content")
    thought = [text_message(Role.ASSISTANT, reasoning, texts).with_channel("analysis")] if reasoning else []
    if not (calls := message.get("tool_calls")):
        if not parts or not parts[0]:
            return thought
        said = Message.from_role_and_contents(Role.ASSISTANT, _contents(parts, texts))
        return [*thought, said.with_channel("final")]
    content = "".join(parts)
    messages = [text_message(Role.ASSISTANT, content, texts).with_channel("commentary")] if content else []
    messages += thought
    for call in calls:
        function = call["function"]
        arguments = function.get("arguments", "") or ""
        if not isinstance(arguments, str):
            raise Unrendered("tool arguments that are no text")
        made = text_message(Role.ASSISTANT, arguments, texts).with_channel("commentary")
        messages.append(made.with_recipient(f"functions.{function['name']}").with_content_type("json"))
    return messages


def _contents(parts: list[str], texts: LongTexts) -> list[TextContent]:
    """One part as one text; several stay as they are, since each is tokenised by itself."""
    if len(parts) == 1:
        return [TextContent(text=texts.mark(parts[0]))]
    return [TextContent(text=part) for part in parts or [""]]
