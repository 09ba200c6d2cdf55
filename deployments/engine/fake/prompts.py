"""From what a client sends to token ids, as a chat template and a media processor would."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import msgspec

from deployments.engine.fake.errors import EngineError, bad_body
from deployments.engine.fake.requests import Message
from deployments.engine.fake.tokenizer import VOCABULARY_SIZE, Control, encode

IMAGE_TOKENS = 256
"""Placeholder tokens of one picture, whatever its size: pictures are not decoded."""

_TEXTS = ("text", "input_text", "output_text")
_TURNS = {
    "system": Control.SYSTEM,
    "developer": Control.SYSTEM,
    "user": Control.USER,
    "assistant": Control.ASSISTANT,
    "tool": Control.TOOL,
}


@dataclass(slots=True)
class Prompt:
    """Token ids, and for each picture its first position in them and its identity."""

    token_ids: list[int] = field(default_factory=list)
    images: list[tuple[int, str]] = field(default_factory=list)

    def extra_keys(self, block_size: int, salt: str | None) -> dict[int, str]:
        """KV block index -> what it depends on beside its ids: the salt in the first block, pictures where they lie."""
        extra = {0: f"salt:{salt};"} if salt else {}
        for position, identity in self.images:
            for block in range(position // block_size, (position + IMAGE_TOKENS - 1) // block_size + 1):
                extra[block] = f"{extra.get(block, '')}image:{identity};"
        return extra


def chat_prompt(messages: Iterable[Message], takes_images: bool) -> Prompt:
    """The turns, then the opening of the assistant's. Raises EngineError for a part that the model cannot take."""
    prompt = Prompt()
    for message in messages:
        prompt.token_ids.append(_TURNS[message.role])
        parts = [{"type": "text", "text": message.content}] if isinstance(message.content, str) else message.content
        for part in parts or []:
            _add_part(prompt, part, takes_images)
        if message.tool_calls:
            prompt.token_ids += encode(msgspec.json.encode(message.tool_calls).decode())
        prompt.token_ids.append(Control.END)
    if not prompt.token_ids:
        raise EngineError("messages is empty: send at least one message", param="messages")
    prompt.token_ids.append(Control.ASSISTANT)
    return prompt


def given_ids(transfer: dict[str, Any] | None, messages: Iterable[Message]) -> Prompt | None:
    """The ids that a client, or a gateway, sends so that the messages need not be tokenised again.

    None where there are none or where a message holds a picture. Raises EngineError for ids that are none.
    """
    ids = (transfer or {}).get("prompt_token_ids")
    parts = [part for m in messages if isinstance(m.content, list) for part in m.content]
    if ids is None or any(part.get("type") not in _TEXTS for part in parts):
        return None
    if not ids:
        raise EngineError("`kv_transfer_params['prompt_token_ids']` must be a non-empty list", param="prompt")
    return Prompt(_checked_ids(ids))


def completion_prompts(prompt: str | list[int | str | list[int]] | None) -> list[Prompt]:
    """One prompt for a text or a list of ids, several for a list of those. Raises EngineError for an empty one."""
    if not prompt:
        raise EngineError("Either prompt or prompt_embeds must be provided and non-empty.", param="prompt")
    several = [prompt] if isinstance(prompt, str) or isinstance(prompt[0], int) else prompt
    return [Prompt(encode(one) if isinstance(one, str) else _checked_ids(one)) for one in several]


def audio_prompt(digest: bytes, hint: str) -> list[int]:
    """Decoder ids of a recording of that digest; `hint` is the client's `prompt`."""
    return [*encode(hint), Control.AUDIO, *digest, Control.ASSISTANT]


def _add_part(prompt: Prompt, part: dict[str, Any], takes_images: bool) -> None:
    match part:
        case {"type": "text" | "input_text" | "output_text", "text": str(text)}:
            prompt.token_ids += encode(text)
        case {"type": "image_url" | "input_image"} if not takes_images:
            raise EngineError("At most 0 image(s) may be provided in one prompt.", param="image")
        case {"type": "image_url" | "input_image"}:
            prompt.images.append((len(prompt.token_ids), _identity(part)))
            prompt.token_ids += [Control.IMAGE] * IMAGE_TOKENS
        case _:
            raise EngineError(f"Unknown part type: {part.get('type')}", param="messages")


def _identity(part: dict[str, Any]) -> str:
    """The client's uuid, which the engine trusts, else a digest of the picture as it was sent."""
    match part:
        case {"uuid": str(uuid)}:
            return uuid
        case {"image_url": str(url) | {"url": str(url)}} if url:
            return blake2b(url.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    raise EngineError("image_url needs a url or a uuid", param="messages")


def _checked_ids(ids: Any) -> list[int]:
    if not (isinstance(ids, list) and all(type(token) is int for token in ids)):
        raise bad_body("prompt is neither a text, nor token ids, nor a list of one of the two", "body.prompt")
    if ids and not (min(ids) >= 0 and max(ids) < VOCABULARY_SIZE):
        raise EngineError(f"Token id is out of vocabulary: use 0 to {VOCABULARY_SIZE - 1}", param="prompt")
    return ids
