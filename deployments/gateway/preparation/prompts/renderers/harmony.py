"""GPT-OSS: chats through the Harmony library, as vLLM renders them whatever the tokenizer says."""

from __future__ import annotations

import datetime
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from openai_harmony import Conversation, HarmonyEncoding, Message, RenderConversationConfig, Role

from deployments.gateway.preparation.prompts.checkpoint import Checkpoint
from deployments.gateway.preparation.prompts.harmony_encoding import harmony_encoding
from deployments.gateway.preparation.prompts.media import Picture
from deployments.gateway.preparation.prompts.renderers.base import (
    Rendered,
    Unrendered,
    completion,
    refuse_unsure,
)
from deployments.gateway.preparation.prompts.renderers.harmony_messages import (
    LongTexts,
    chat_messages,
    drop_answered_reasoning,
    preamble,
    text_message,
)
from deployments.gateway.preparation.prompts.tokens import Tokens
from deployments.gateway.request.route_bodies import PromptForm
from deployments.routing.prompt import Prompt

PROBE = "I'd  say: naïve Ωμέγα 日本語 🙂🏽\r\n\t x_1 = [12345.67] {\"a\": null}  \n\n 'S END"
RESPONSES_FIELDS = {"instructions", "input", "max_output_tokens", "metadata", "model", "store", "stream", "temperature"}
RESPONSES_FIELDS |= {"cache_salt", "top_p", "user", "reasoning"}


class HarmonyRenderer:
    """Implements `deployments.gateway.preparation.prompts.renderers.Renderer`.

    The Harmony library holds the interpreter's lock while it tokenises (15 ms for 8,800 tokens), so it is given long
    texts as short marks, and the checkpoint's own tokenizer, which does not, puts their ids in.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._tokens = Tokens(checkpoint.tokenizer)
        self._encoding = harmony_encoding()
        self._same = self._encoding.encode(PROBE) == self._tokens.encode(PROBE)
        self._headers = LegacyHeaders(self._encoding)
        self._message, self._ends = self._headers.message, self._headers.ends
        self._mark = re.compile(rf"{(word := 'm' + secrets.token_hex(8))}x(\d+)x")
        self._word = word

    def render(self, form: PromptForm, body: Mapping[str, Any], pictures: Sequence[Picture]) -> Rendered:
        if form is PromptForm.PROMPT:
            return completion(self._tokens, body)
        if pictures:
            raise Unrendered("the model takes no media")
        texts = LongTexts(self._word, self._same)
        if form is PromptForm.MESSAGES:
            refuse_unsure(body)
            messages = chat_messages(body, _today(), texts)
        else:
            messages = _responses_messages(body, texts)
        return Rendered(Prompt(self._ids(messages, texts)), exact=form is PromptForm.MESSAGES)

    def tokenise(self, text: str) -> int:
        """With the Harmony library, as engines do: its time grows with the square of a run of one kind of letters.

        Names of control tokens are plain text in a message.
        """
        return len(self._encoding.encode(text, disallowed_special=()))

    def _ids(self, messages: list[Message], texts: LongTexts) -> list[int]:
        conversation = Conversation.from_messages(drop_answered_reasoning(messages))
        config = RenderConversationConfig(auto_drop_analysis=False)
        ids = self._encoding.render_conversation_for_completion(conversation, Role.ASSISTANT, config)
        ids = self._headers.put_back(ids)
        return self._with_long_texts(ids, texts) if texts.kept else ids

    def _with_long_texts(self, ids: list[int], texts: LongTexts) -> list[int]:
        """Puts the long texts where their marks stand, one message's content at a time."""
        result: list[int] = []
        position = 0
        while position < len(ids):
            start = _index(ids, self._message, position) + 1
            end = next((at for at in range(start, len(ids)) if ids[at] in self._ends), len(ids))
            result += ids[position:start]
            content = self._encoding.decode(ids[start:end]) if end > start else ""
            if self._word in content:
                result += self._tokens.encode(self._mark.sub(lambda mark: texts.kept[int(mark[1])], content))
            else:
                result += ids[start:end]
            position = end
        return result


class LegacyHeaders:
    """Headers of earlier tool calls, which vLLM keeps in the order that the model was trained on.

    The library writes `assistant<|channel|>commentary to=functions.f <|constrain|>json`; the model knows
    `assistant to=functions.f<|channel|>commentary json`.
    """

    def __init__(self, encoding: HarmonyEncoding) -> None:
        self._encoding = encoding
        names = ("<|start|>", "<|channel|>", "<|constrain|>", "<|message|>")
        self._start, self._channel, self._constrain, self.message = map(self._control, names)
        self.ends = {self._control(name) for name in ("<|end|>", "<|return|>", "<|call|>")}

    def put_back(self, ids: list[int]) -> list[int]:
        if self._constrain not in ids:
            return ids
        result: list[int] = []
        position = 0
        while position < len(ids):
            if ids[position] == self._start:
                end = _index(ids, self.message, position)
                if header := self._rewritten(ids[position + 1 : end]):
                    result += header
                    position = end
                    continue
            result.append(ids[position])
            position += 1
        return result

    def _rewritten(self, header: list[int]) -> list[int] | None:
        """A header's tokens from `<|start|>` on, without `<|message|>`; None where it is no tool call's."""
        if self._channel not in header or self._constrain not in header:
            return None
        channel, constrain = header.index(self._channel), header.index(self._constrain)
        author, target, kind = header[:channel], header[channel + 1 : constrain], header[constrain + 1 :]
        text = self._encoding.decode(target)
        found = re.fullmatch(r"(.+?) to=(.+) ", text, re.DOTALL)
        if channel > constrain or self._encoding.decode(author) != "assistant" or not found or not kind:
            return None
        name, recipient = found.groups()
        before, after = f"assistant to={recipient}", f"{name} {self._encoding.decode(kind)}"
        return [self._start, *self._plain(before), self._channel, *self._plain(after)]

    def _plain(self, text: str) -> list[int]:
        """Raises HarmonyError where a text spells a control token; looking for all of them takes 1 ms."""
        ids: list[int] = self._encoding.encode(text, disallowed_special="all" if "<|" in text else ())
        return ids

    def _control(self, name: str) -> int:
        ids: list[int] = self._encoding.encode(name, allowed_special="all")
        return ids[0]


def _responses_messages(body: Mapping[str, Any], texts: LongTexts) -> list[Message]:
    if any(body[name] is not None for name in body.keys() - RESPONSES_FIELDS):
        raise Unrendered("a field that may change the prompt")
    if not isinstance(body["input"], str) or not body["input"]:
        raise Unrendered("a list of input items")
    reasoning = body.get("reasoning") or {}
    opening = preamble(body.get("instructions"), None, reasoning.get("effort"), _today(), texts)
    return [*opening, text_message(Role.USER, body["input"], texts)]


def _today() -> str:
    """The date of the system message: the engine takes its own machine's."""
    return datetime.datetime.now().strftime("%Y-%m-%d")


def _index(ids: list[int], token: int, start: int) -> int:
    try:
        return ids.index(token, start)
    except ValueError:
        return len(ids)
