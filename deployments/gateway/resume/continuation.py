"""A stream that is followed, what another replica is asked to continue it, and how that answer joins the first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from cluster.fleet import Model
from deployments.gateway.errors.error_object import UNREADABLE
from deployments.gateway.proxy.usage import FRAME_END
from deployments.gateway.request.route_bodies import PromptForm
from deployments.gateway.resume.conditions import CARRIED, NotExact
from deployments.gateway.resume.emitted import DONE, Emitted
from deployments.gateway.resume.voices import Voice, voice_of
from deployments.routing.work import integer

DEFAULT_COMPLETION_TOKENS = 16
"""What a completion gets that does not say how many, by OpenAI's API and so by vLLM."""

TAIL = 16
"""Ids whose text tells whether the last character is whole: longer than any character."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
Detokenize = Callable[[Sequence[int]], Awaitable[str]]


class Follower:
    """One followed stream."""

    def __init__(self, prompt: PromptForm | None, body: dict[str, Any], model: Model, include_usage: bool) -> None:
        """`body` as the client sent it; `include_usage`: whether the engine was asked for usage on top of that."""
        self._form, self._body, self._model = prompt, body, model
        self._options = {"include_usage": True} if include_usage else body.get("stream_options")
        self.emitted = Emitted(shown="return_token_ids" in body)

    async def continuation(self, renderer: str, room: int | None) -> Continuation:
        """`renderer` as the lost replica announced it; `room`: the longest prompt and answer of the model, in tokens.
        Raises NotExact."""
        prompt, ids = self.emitted.prompt_ids(), self.emitted.ids()
        if prompt is None:
            raise NotExact("its engine told no token ids")
        voice = None
        if self._form is PromptForm.MESSAGES:
            voice = await asyncio.to_thread(voice_of, renderer, self._model, ids)
        return Continuation(self, voice, prompt, ids, room)


class Continuation:
    """One attempt to continue a stream on another replica."""

    path = "/v1/completions"

    def __init__(
        self, follower: Follower, voice: Voice | None, prompt: list[int], ids: list[int], room: int | None
    ) -> None:
        self._follower, self._voice, self._room = follower, voice, room
        self._emitted = follower.emitted
        self._head = follower.emitted.head()
        self.prompt, self.ids = prompt, ids

    @property
    def tokens(self) -> int:
        """Of the prompt that the next replica gets."""
        return len(self.prompt) + len(self.ids)

    async def body(self, detokenize: Detokenize) -> bytes:
        """What the replica is sent. Raises NotExact."""
        await self._end_on_a_character(detokenize)
        body, options = self._follower._body, self._follower._options
        asked: dict[str, Any] = {name: body[name] for name in CARRIED if name in body}
        asked |= {"model": body["model"], "prompt": self.prompt + self.ids, "stream": True, "return_token_ids": True}
        asked |= {"stream_options": options} if options is not None else {}
        most = self._most_new_tokens()
        if most is not None:
            asked["max_tokens"] = most - len(self.ids)
        if least := integer(body.get("min_tokens")):
            asked["min_tokens"] = max(0, least - len(self.ids))
        return msgspec.json.encode(asked)

    def splice(self, frames: bytes) -> bytes:
        """Whole frames of the continuation as the stream's own next frames. Raises NotExact."""
        try:
            return b"".join(self._spliced(frame) + FRAME_END for frame in frames.split(FRAME_END) if frame)
        except (*UNREADABLE, KeyError, TypeError, AttributeError, ValueError):
            raise NotExact("the other engine's events cannot be read") from None

    def closing(self) -> bytes:
        """The end of a stream whose last token was said, where its replica did not come to say so."""
        options = self._follower._options or {}
        if not options.get("include_usage"):
            return DONE + FRAME_END
        kind = "chat.completion.chunk" if self._voice else "text_completion"
        usage = self._usage({"completion_tokens": 0})
        return b"".join(
            [_frame({**self._head, "object": kind, "choices": [], "usage": usage}), FRAME_END, DONE, FRAME_END]
        )

    async def _end_on_a_character(self, detokenize: Detokenize) -> None:
        """Takes back the ids of a character that is half said: an engine that had them in its prompt would not know
        that the client has not seen it."""
        taken_back = 0
        while self.ids and (await detokenize(self.ids[-TAIL:])).endswith(REPLACEMENT):
            if self._emitted.shown or taken_back == TAIL:
                raise NotExact("it ended within a character")
            self.ids.pop()
            taken_back += 1
        if taken_back:
            self._emitted.forget(taken_back)

    def _most_new_tokens(self) -> int | None:
        body = self._follower._body
        if self._voice is None:
            given = body.get("max_tokens")
            return DEFAULT_COMPLETION_TOKENS if given is None else integer(given)
        given = body.get("max_completion_tokens") or body.get("max_tokens")
        if given is None and self._room is None:
            raise NotExact("it is not known how long its answer may be")
        return integer(given) if given is not None else (self._room or 0) - len(self.prompt)

    def _spliced(self, frame: bytes) -> bytes:
        if frame.startswith((DONE, b":")):
            return frame
        said: dict[str, Any] = msgspec.json.decode(frame.removeprefix(b"data: "))
        said |= self._head
        if usage := said.get("usage"):
            said["usage"] = self._usage(usage)
        if self._voice is None:
            for choice in said["choices"]:
                if "prompt_token_ids" in choice:
                    choice["prompt_token_ids"] = None
            return _frame(said)
        said["object"] = "chat.completion.chunk"
        said["choices"] = [self._as_chat(choice, self._voice) for choice in said["choices"]]
        return _frame(said)

    def _as_chat(self, choice: dict[str, Any], voice: Voice) -> dict[str, Any]:
        ids, reason = choice["token_ids"] or [], choice["finish_reason"]
        delta = voice.delta(choice["text"], ids, reason is not None)
        of_chat = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason, "token_ids": ids}
        return of_chat | ({"stop_reason": choice.get("stop_reason")} if reason else {})

    def _usage(self, told: dict[str, Any]) -> dict[str, Any]:
        """The whole stream's, of what the continuation's engine `told` of its part."""
        prompt, new = len(self.prompt), len(self.ids) + told["completion_tokens"]
        usage = {**told, "prompt_tokens": prompt, "completion_tokens": new, "total_tokens": prompt + new}
        details = told.get("prompt_tokens_details")
        if details and details.get("cached_tokens"):
            usage["prompt_tokens_details"] = {**details, "cached_tokens": min(prompt, details["cached_tokens"])}
        if self._voice and (of_answer := self._voice.details()):
            usage["completion_tokens_details"] = of_answer
        return usage


def _frame(payload: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(payload)
