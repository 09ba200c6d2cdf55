"""What renderers have in common: their result, and which requests none of them can be sure of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from deployments.gateway.preparation.prompts.media import Picture
from deployments.gateway.preparation.prompts.pictures import PictureTokens
from deployments.gateway.preparation.prompts.tokens import Tokens
from deployments.gateway.request.route_bodies import PromptForm
from deployments.routing.prompt import Media, Prompt


class Unrendered(Exception):
    """A request that is not rendered here: a normal case. The message is the reason, in a few words."""


@dataclass(frozen=True)
class Rendered:
    """Attributes:
    whole: False where `prompt` ends before a part that nothing is known of.
    exact: True where an engine may be given these ids in place of the text.
    """

    prompt: Prompt
    whole: bool = True
    exact: bool = False


class Renderer(Protocol):
    """Threads may share it. `render` may take milliseconds for a long body, which it leaves as it is."""

    def render(self, form: PromptForm, body: Mapping[str, Any], pictures: Sequence[Picture]) -> Rendered:
        """Raises Unrendered, or any other error on a malformed body."""

    def tokenise(self, text: str) -> int:
        """Tokenises a text as the engine does, for the time that it takes. Returns how many tokens it has."""


UNSURE: Mapping[str, tuple[Any, ...]] = {
    "add_generation_prompt": (None, True),
    "chat_template": (None,),
    "chat_template_kwargs": (None, {}),
    "continue_final_message": (None, False),
    "documents": (None, []),
    "media_io_kwargs": (None, {}),
    "mm_processor_kwargs": (None, {}),
    "prompt_embeds": (None,),
    "truncate_prompt_tokens": (None,),
}
"""Fields that change how an engine renders a request -> the values with which they do not."""


def refuse_unsure(body: Mapping[str, Any], but: str = "") -> None:
    """Raises Unrendered where a field, `but` this one, asks for a rendering that is not reproduced here."""
    for name, harmless in UNSURE.items():
        if name != but and name in body and body[name] not in harmless:
            raise Unrendered(f"`{name}` is set")


def completion_text(body: Mapping[str, Any]) -> str | list[int]:
    """The one prompt of a completion. Raises Unrendered where there are several, or anything else."""
    refuse_unsure(body)
    if body.get("suffix") is not None:
        raise Unrendered("`suffix` is set")
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str) and prompt:
        return prompt
    if isinstance(prompt, list) and prompt and all(type(token) is int and 0 <= token < 2**32 for token in prompt):
        return prompt
    raise Unrendered("several prompts" if isinstance(prompt, list) and prompt else "no prompt")


def completion(tokens: Tokens, body: Mapping[str, Any]) -> Rendered:
    """A completion's text as its tokenizer has it, or the ids that were sent. Raises Unrendered."""
    prompt = completion_text(body)
    if isinstance(prompt, list):
        return Rendered(Prompt(prompt), exact=True)
    return Rendered(Prompt(tokens.encode(prompt, special=body.get("add_special_tokens", True) is True)), exact=True)


def text_parts(content: Any) -> list[str] | None:
    """The texts of a message's content; None where a part is anything but plain text."""
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return None
    texts: list[str] = []
    for part in content:
        text = plain_text(part)
        if text is None:
            return None
        texts.append(text)
    return texts


def plain_text(part: Any) -> str | None:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and part.keys() == {"type", "text"} and part["type"] in ("text", "input_text"):
        text = part["text"]
        return text if isinstance(text, str) else None
    return None


@dataclass
class Expansion:
    """Token ids in which each picture's one placeholder has become as many as the picture has."""

    token_ids: list[int] = field(default_factory=list)
    media: list[Media] = field(default_factory=list)
    whole: bool = True

    @classmethod
    def of(cls, token_ids: list[int], pictures: Sequence[Picture], rule: PictureTokens | None) -> Expansion:
        """Ends before the first picture whose count is not known. Without pictures it is `token_ids` themselves.

        Raises Unrendered where placeholders and pictures do not match: a client may have written one as text.
        """
        if not pictures:
            return cls(token_ids)
        if rule is None:
            raise Unrendered("pictures of this model family are not counted")
        if sum(token == rule.placeholder for token in token_ids) != len(pictures):
            raise Unrendered("the text has placeholders of its own")
        result = cls()
        left = iter(pictures)
        for token in token_ids:
            if token != rule.placeholder:
                result.token_ids.append(token)
                continue
            picture = next(left)
            count = rule.count(*picture.size) if picture.size else None
            if count is None:
                result.whole = False
                break
            result.media.append(Media(len(result.token_ids), count, picture.identity))
            result.token_ids += [rule.placeholder] * count
        return result
